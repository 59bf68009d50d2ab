"""The search for the fewest layers to leave in float; each candidate is the stages of a build."""

import logging

from flows.candidate import Run, engine_of, first_that_runs, quantize
from schemas.base import Strict, Target
from schemas.data import DataRef
from schemas.evaluate import EvaluationReport, Logits
from schemas.job import Job
from schemas.model import ModelRef
from schemas.profiling import LatencyReport, ProfileSources
from schemas.sensitivity import Assignment, SearchReport, SearchResult, Sensitivity
from tasks.artifacts.store import current_store
from tasks.engine.task import engine, why_not_run
from tasks.evaluate.task import evaluate, predict_float32
from tasks.profiling.task import profile
from tasks.sensitivity.search import fewest
from tasks.sensitivity.task import search_report, sensitivity

log = logging.getLogger("enginesmith")


def assign_precision(
    run: Run, job: Job, data: DataRef, model: ModelRef
) -> tuple[Job, SearchResult | None]:
    """The job with the layers excluded that its accuracy needs, and the report of the search.

    A job that does not ask for it comes back as it is. Interrupted, the search finds every
    candidate that it was done with in the cache.
    """
    if job.mixed_precision is None:
        return job, None
    store = current_store()
    float32 = run(predict_float32, model, data, job.accuracy.images, job.accuracy.batch_size)
    measured = run(sensitivity, model, data, job.calibration, job.quantization, job.mixed_precision)
    layers = store.load(measured.report, Sensitivity).layers
    target, options = first_that_runs(job)
    # All of them in float were no INT8 engine at all: that is what ``deliver`` has FP32's plan for.
    most = len(layers) - 1
    if job.mixed_precision.max_float_layers is not None:
        most = min(most, job.mixed_precision.max_float_layers)
    tried: dict[int, Assignment] = {}

    def holds(count: int) -> bool:
        names = tuple(layer.name for layer in layers[:count])
        log.info("mixed precision: %d of %d layers in float", count, len(layers))
        tried[count] = _candidate(
            run, with_float(job, names), data, model, float32, target, options
        )
        return tried[count].within

    fewest(holds, most)
    result = run(
        search_report,
        target,
        job.accuracy.max_drop_points,
        measured,
        [tried[count] for count in sorted(tried)],
    )
    found = store.load(result.report, SearchReport)
    chosen = found.assignments[found.chosen].float_layers
    log.info("mixed precision: %d layers in float: %s", len(chosen), ", ".join(chosen) or "none")
    return with_float(job, chosen), result


def with_float(job: Job, names: tuple[str, ...]) -> Job:
    """The job with some more modules in float, by name; each is named once.

    The job's own are among those of an assignment, and the build has to find it in the cache.
    """
    exclude = tuple(dict.fromkeys((*job.quantization.exclude, *names)))
    quantization = job.quantization.model_copy(update={"exclude": exclude})
    return job.model_copy(update={"quantization": quantization})


def _candidate(
    run: Run,
    job: Job,
    data: DataRef,
    model: ModelRef,
    float32: Logits,
    target: Target,
    options: Strict,
) -> Assignment:
    """Build and measure one assignment."""
    store = current_store()
    exported = quantize(run, job, data, model).exported
    made = engine_of(run, job, data, exported, target, options)
    answers = made.answers
    evaluated = run(evaluate, float32, [answers], [answers.name], job.accuracy)
    report = store.load(evaluated.report, EvaluationReport)
    accuracy = next(a for a in report.accuracies if a.name == answers.name)
    median = None
    if why_not_run(target) is None:
        baseline = run(engine, exported.float32, target, "float32", options)
        sources = ProfileSources(
            model=model, float32_graph=exported.float32, int8_graph=made.repaired.graph
        )
        # The two engines are enough here: what else there is to compare with, the build measures.
        only = job.profile.model_copy(update={"baselines": (), "sweep": None})
        timed = run(profile, target, made.plan, baseline, sources, data, only)
        latencies = store.load(timed.report, LatencyReport).latencies
        median = next(x.median_ms for x in latencies if x.precision == "int8")
    return Assignment(
        float_layers=job.quantization.exclude,
        accuracy=accuracy,
        within=accuracy.drop_points <= job.accuracy.max_drop_points,
        median_ms=median,
        on_front=False,
    )
