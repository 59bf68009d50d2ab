"""The main job: from a PyTorch network to proven INT8 engines."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Literal, ParamSpec, TypeVar, cast, get_args

from prefect import Task, flow
from prefect.utilities.callables import get_call_parameters

from flows.candidate import quantize, to_compare
from flows.further import further_plans
from flows.jobfile import targets
from flows.limits import limit_of
from flows.mixed import assign_precision
from flows.progress import advance
from flows.results import keep_results_in_store
from schemas.artifact import ArtifactRef
from schemas.data import DataRef
from schemas.errors import InputError, nearest
from schemas.history import StageRecord
from schemas.job import Job
from schemas.model import ModelRef, NetworkRef
from schemas.profiling import ProfileSources
from schemas.report import BuiltEngine, ReportResult, ReportSources
from schemas.train import TrainResult
from tasks.caching import LIMIT_TAG, identity, origin
from tasks.datasets.task import dataset
from tasks.engine.task import engine, why_not_run
from tasks.evaluate.task import (
    evaluate,
    predict_engine,
    predict_float32,
    predict_graph,
    predict_int8,
)
from tasks.history.origins import stage_record
from tasks.history.task import compare, record
from tasks.models.task import checkpoint, network, pretrained
from tasks.profiling.task import profile
from tasks.publish.task import package, publish
from tasks.report.task import deliver, delivered_plans, report
from tasks.sensitivity.task import layer_errors
from tasks.surgery.task import surgery
from tasks.train.task import train
from tasks.upkeep.leases import builds

P = ParamSpec("P")
R = TypeVar("R")

Stage = Literal[
    "train",
    "equalize",
    "calibrate",
    "correct",
    "convert",
    "export",
    "surgery",
    "engine",
    "evaluate",
    "profiling",
    "sensitivity",
    "publish",
    "report",
]

log = logging.getLogger("enginesmith")


def check_stages(names: Sequence[str]) -> tuple[Stage, ...]:
    """The stages of these names; raises InputError where there is none of a name."""
    known = get_args(Stage)
    for name in names:
        if name not in known:
            raise InputError(f"--refresh {name}: there is no such stage: {nearest(name, known)}")
    return cast(tuple[Stage, ...], tuple(names))


class Runner:
    """Runs stages one after another, and says of each whether it ran or was found in the cache."""

    def __init__(self, refresh: tuple[Stage, ...]) -> None:
        self.refresh = refresh
        self.stages: list[StageRecord] = []
        keep_results_in_store()

    def __call__(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        stage = task.fn.__module__.split(".")[1]
        if stage in self.refresh:
            task = task.with_options(refresh_cache=True)
        limit = limit_of(stage, task.name, args)
        if limit is not None:
            task = task.with_options(tags={LIMIT_TAG + limit})
        label = " ".join([task.name, *(a for a in args if isinstance(a, str))])
        started = time.perf_counter()
        state: Any = task(*args, return_state=True, **kwargs)
        result: R = state.result()
        took = time.perf_counter() - started
        log.info("%-28s %s", label, "cached" if state.name == "Cached" else f"{took:.1f} s")
        advance(label)
        parameters = get_call_parameters(task.fn, args, kwargs)
        material, key = origin(task.name, parameters)
        self.stages.append(
            stage_record(
                label,
                stage,
                material=material,
                key=key,
                cached=state.name == "Cached",
                result=identity(result),
            )
        )
        return result


@flow(name="build", flow_run_name="build-{job.name}")
@builds
def build(job: Job, refresh: tuple[Stage, ...] = ()) -> ReportResult:
    """Quantize a network, build its engines, and prove them accurate and fast.

    Every stage's result is kept in the artifact folder and used again while nothing that it depends
    on has changed; ``refresh`` names stages to run all the same.
    """
    run = Runner(refresh)
    data = run(dataset, job.data)
    net = run(network, job.model)
    model = ModelRef(**dict(net), weights=weights_of(run, job, net, data))
    job, search = assign_precision(run, job, data, model)
    quantized = quantize(run, job, data, model)
    calibrated, quantization = quantized.calibrated, quantized.quantization
    int8, exported = quantized.int8, quantized.exported

    accuracy = job.accuracy
    measured_on = (data, accuracy.images, accuracy.batch_size)
    float32 = run(predict_float32, model, *measured_on)
    others = [run(predict_int8, model, int8, quantization, *measured_on)]
    gated: list[str] = []
    built: list[BuiltEngine] = []
    for target, options in targets(job):
        repaired = run(surgery, exported.quantized, exported.samples, target, job.surgery)
        plan = run(engine, repaired.graph, target, job.surgery.precision, options)
        baseline = run(engine, exported.float32, target, "float32", options)
        further = further_plans(run, job, exported, target, options)
        others.append(run(predict_graph, repaired.graph, target, *measured_on))
        not_run = why_not_run(target)
        latency = None
        if not_run is None:
            answers = run(predict_engine, plan, target, *measured_on)
            others.append(answers)
            gated.append(answers.name)
            measure = profile.with_options(refresh_cache=not job.profile.reuse)
            origins = ProfileSources(
                model=model, float32_graph=exported.float32, int8_graph=repaired.graph
            )
            beside = tuple(x.plan for x in further)
            latency = run(measure, target, plan, baseline, origins, data, job.profile, beside)
        else:
            gated.append(others[-1].name)
        built.append(
            BuiltEngine(
                target=target,
                surgery=repaired,
                int8=plan,
                float32=baseline,
                float32_graph=exported.float32,
                further=further,
                latency=latency,
                not_run=not_run,
            )
        )
    evaluation = run(evaluate, float32, others, gated, accuracy)
    compared = to_compare(run, job, data, model, quantized)
    layers = [run(layer_errors, compared, x.surgery.graph, x.target).report for x in built]
    sources = ReportSources(
        exported=exported.quantized,
        calibration=calibrated.table,
        float32=float32,
        engine=next(form for form in others if form.name == gated[0]),
        findings=quantized.findings(layers, search),
        modules=quantized.modules,
    )
    delivered = delivered_plans(job, evaluation, built)
    packed = None
    if job.publish is not None:
        packed = run(package, job.name, job.publish, data, delivered, evaluation)
    fell_behind = compare(job, evaluation, built, delivered, run.stages)
    result = run(report, job, data, evaluation, built, sources, packed, fell_behind)
    deliver(job, result)
    record(job, evaluation, built, delivered, run.stages, result)
    if packed is None:
        return result
    return result.model_copy(update={"publication": publish(packed, result)})


@flow(name="train", flow_run_name="train-{job.name}")
@builds
def train_only(job: Job, refresh: tuple[Stage, ...] = ()) -> TrainResult:
    """Make the job's checkpoint, and nothing else."""
    run = Runner(refresh)
    return _train(run, job, run(network, job.model), run(dataset, job.data))


def weights_of(run: Runner, job: Job, net: NetworkRef, data: DataRef) -> ArtifactRef:
    """The checkpoint that the job gives, the factory's own weights, or what the job trains."""
    if job.model.weights is not None:
        return run(checkpoint, job.model.weights)
    if job.model.pretrained:
        return run(pretrained, net)
    return _train(run, job, net, data).weights


def _train(run: Runner, job: Job, net: NetworkRef, data: DataRef) -> TrainResult:
    if job.train is None:
        raise InputError(
            f"job {job.name} has neither model.weights nor a train section: add one of them"
        )
    return run(train, net, data, job.train)
