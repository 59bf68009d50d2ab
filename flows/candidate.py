"""The way from a network to one INT8 engine's answers: what ``build``, ``sweep`` and the search for
a mixed precision have in common."""

from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from prefect import Task

from flows.jobfile import targets
from schemas.artifact import ArtifactRef
from schemas.base import Strict, Target
from schemas.calibrate import CalibrateResult
from schemas.convert import QuantizationConfig
from schemas.correct import CorrectResult
from schemas.data import DataRef
from schemas.engine import EngineResult
from schemas.equalize import EqualizeResult
from schemas.evaluate import Logits
from schemas.export import ExportResult
from schemas.findings import FindingsSources
from schemas.finetune import FinetuneResult
from schemas.job import Job
from schemas.model import ModelRef
from schemas.sensitivity import SearchResult
from schemas.surgery import SurgeryResult
from tasks.calibrate.task import calibrate
from tasks.convert.task import convert
from tasks.correct.task import correct
from tasks.engine.task import engine, why_not_run
from tasks.equalize.task import equalize
from tasks.evaluate.task import predict_engine, predict_graph
from tasks.export.task import export, export_float32
from tasks.surgery.task import surgery
from tasks.train.task import finetune

P = ParamSpec("P")
R = TypeVar("R")


class Run(Protocol):
    """What runs a stage: ``flows.build.Runner``."""

    def __call__(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...


@dataclass(frozen=True)
class Quantized:
    """An INT8 network, as PyTorch has it and as it exports."""

    calibrated: CalibrateResult
    quantization: QuantizationConfig
    int8: ArtifactRef
    exported: ExportResult
    equalized: EqualizeResult | None
    corrected: CorrectResult | None
    finetuned: FinetuneResult | None
    modules: ArtifactRef

    def findings(self, layers: list[ArtifactRef], search: SearchResult | None) -> FindingsSources:
        """What its stages found out, for the report."""
        return FindingsSources(
            calibration=self.calibrated.quality,
            calibration_speed=self.calibrated.speed,
            layers=tuple(layers),
            equalization=self.equalized and self.equalized.summary,
            correction=self.corrected and self.corrected.summary,
            search=search and search.report,
            finetuning=self.finetuned and self.finetuned.summary,
        )


@dataclass(frozen=True)
class Engine:
    """One engine of an INT8 network, and its answers; its graph's where it does not run here."""

    target: Target
    repaired: SurgeryResult
    plan: EngineResult
    answers: Logits


def quantize(run: Run, job: Job, data: DataRef, model: ModelRef) -> Quantized:
    """From FP32 to INT8 in PyTorch, with the accuracy work that the job asks for."""
    source, equalized, corrected, finetuned = model, None, None, None
    if job.finetune is not None:
        finetuned = run(finetune, model, data, job.calibration, job.quantization, job.finetune)
        source = _with_weights(model, finetuned.weights)
    if job.equalization is not None:
        equalized = run(equalize, source, job.equalization, data.input_shape)
        source = _with_weights(model, equalized.weights)
    calibrated = run(calibrate, source, data, job.calibration, job.quantization)
    # What "auto" came to is settled once, for all the stages that follow.
    quantization = job.quantization.model_copy(update={"mode": calibrated.mode})
    if job.correction is not None:
        corrected = run(correct, source, data, job.calibration, quantization, job.correction)
        source = _with_weights(model, corrected.weights)
    # By name: what is given by place is part of the stage's label.
    converted = run(
        convert, source, calibrated.table, quantization, data, mode_reason=calibrated.mode_reason
    )
    int8 = converted.state
    exported = run(export, model, int8, quantization, data, job.calibration, job.export)
    return Quantized(
        calibrated,
        quantization,
        int8,
        exported,
        equalized,
        corrected,
        finetuned,
        converted.summary,
    )


def to_compare(
    run: Run, job: Job, data: DataRef, model: ModelRef, quantized: Quantized
) -> ExportResult:
    """The graphs whose layers can be held against each other: with the same channels in both.

    Equalization scales channels inside the network, so that FP32 is then the equalized network.
    """
    if quantized.equalized is None:
        return quantized.exported
    even = _with_weights(model, quantized.equalized.weights)
    float32 = run(export_float32, even, quantized.quantization, data, job.export)
    return quantized.exported.model_copy(update={"float32": float32})


def _with_weights(model: ModelRef, weights: ArtifactRef) -> ModelRef:
    return model.model_copy(update={"weights": weights})


def first_that_runs(job: Job) -> tuple[Target, Strict]:
    """The job's first engine whose plans run on this machine, else its first."""
    wanted = targets(job)
    return next((entry for entry in wanted if why_not_run(entry[0]) is None), wanted[0])


def engine_of(
    run: Run, job: Job, data: DataRef, exported: ExportResult, target: Target, options: Strict
) -> Engine:
    """Compile an exported network for one target, and have it answer the test images."""
    measured_on: tuple[Any, ...] = (data, job.accuracy.images, job.accuracy.batch_size)
    repaired = run(surgery, exported.quantized, exported.samples, target, job.surgery)
    plan = run(engine, repaired.graph, target, job.surgery.precision, options)
    if why_not_run(target) is None:
        answers = run(predict_engine, plan, target, *measured_on)
    else:
        answers = run(predict_graph, repaired.graph, target, *measured_on)
    return Engine(target, repaired, plan, answers)
