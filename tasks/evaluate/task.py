"""The stage as Prefect runs it: each form's answers, then the figures."""

from typing import TYPE_CHECKING, Any

from schemas.artifact import ArtifactRef
from schemas.base import Target
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.engine import EngineResult, Manifest
from schemas.evaluate import AccuracyConfig, EvaluateResult, Logits
from schemas.model import ModelRef
from schemas.sweep import SweepCandidate, SweepResult
from tasks.caching import stage
from tasks.runtimes.registry import runtime

if TYPE_CHECKING:
    from tasks.runtimes.protocol import Session

ROOMS = ("artifacts", "models", "datasets", "runtimes")


def _runtime_fingerprint(parameters: dict[str, Any]) -> dict[str, str]:
    return runtime(parameters["target"]).fingerprint()


def _answers(
    name: str, session: "Session", data: DataRef, images: int | None, batch_size: int
) -> Logits:
    """Logits of one form of the network over the test images, stored."""
    from safetensors.numpy import save

    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.evaluate.predict import measured_on, predict

    test_set = open_dataset(data.config, "test")
    chosen = measured_on(len(test_set), images)
    batches = test_set.batches(batch_size, chosen, f"evaluate {name}")
    logits = predict(session, (batch.images for batch in batches), data.num_classes, name)
    file = save({"logits": logits, "labels": test_set.labels[chosen], "indices": chosen})
    return Logits(name=name, file=current_store().put_bytes("logits", file, ".safetensors"))


@stage("evaluate", rooms=ROOMS, versions=("torch", "torchvision"))
def predict_float32(model: ModelRef, data: DataRef, images: int | None, batch_size: int) -> Logits:
    """Answers of the FP32 network in torch: what every other form is held against."""
    from tasks.artifacts.store import current_store
    from tasks.models.float32 import load_float32
    from tasks.runtimes.torch import TorchSession

    network = load_float32(model, current_store())
    return _answers("torch float32", TorchSession(network), data, images, batch_size)


@stage("evaluate", rooms=ROOMS, versions=("torch", "torchvision", "torchao"))
def predict_int8(
    model: ModelRef,
    int8_state: ArtifactRef,
    quantization: QuantizationConfig,
    data: DataRef,
    images: int | None,
    batch_size: int,
) -> Logits:
    """Answers of the INT8 network in torch's own quantized kernels."""
    from tasks.artifacts.store import current_store
    from tasks.models.float32 import load_float32
    from tasks.models.int8 import load_int8
    from tasks.runtimes.torch import TorchSession

    store = current_store()
    float32 = load_float32(model, store)
    network, _ = load_int8(float32, quantization, store.open(int8_state), data.input_shape)
    return _answers("torch int8", TorchSession(network), data, images, batch_size)


@stage("evaluate", rooms=ROOMS, versions=("onnxruntime",))
def predict_graph(
    graph: ArtifactRef, for_target: Target, data: DataRef, images: int | None, batch_size: int
) -> Logits:
    """Answers of a repaired graph in ONNX Runtime."""
    from tasks.artifacts.store import current_store

    session = runtime("onnxruntime").open(current_store().open(graph))
    return _answers(f"onnx for {for_target}", session, data, images, batch_size)


@stage("evaluate", rooms=ROOMS, fingerprint=_runtime_fingerprint)
def predict_engine(
    engine: EngineResult, target: Target, data: DataRef, images: int | None, batch_size: int
) -> Logits:
    """Answers of a compiled engine."""
    from tasks.artifacts.store import current_store

    store = current_store()
    manifest = store.load(engine.manifest, Manifest)
    session = runtime(target).open(store.open(engine.plan), manifest=manifest)
    return _answers(f"{target} int8", session, data, images, batch_size)


@stage("evaluate", rooms=("artifacts",), versions=("numpy",))
def evaluate(
    float32: Logits, others: list[Logits], gated: list[str], config: AccuracyConfig
) -> EvaluateResult:
    """Accuracy of every form against the FP32 network, and the gates of those named."""
    from safetensors.numpy import load_file

    from schemas.evaluate import EvaluationReport
    from tasks.artifacts.store import current_store
    from tasks.evaluate.metrics import accuracy_gates, accuracy_of

    store = current_store()
    reference = load_file(store.open(float32.file))
    accuracies = tuple(
        accuracy_of(
            form.name,
            load_file(store.open(form.file))["logits"],
            reference["logits"],
            reference["labels"],
        )
        for form in (float32, *others)
    )
    gates = accuracy_gates(tuple(a for a in accuracies if a.name in gated), config)
    report = EvaluationReport(accuracies=accuracies, gates=gates)
    return EvaluateResult(report=store.put_model("evaluation", report))


@stage("evaluate", rooms=("artifacts",), versions=("numpy",))
def rank(float32: Logits, candidates: list[SweepCandidate]) -> SweepResult:
    """Calibrations by what their engines get right, best first."""
    from safetensors.numpy import load_file

    from tasks.artifacts.store import current_store
    from tasks.evaluate.rank import rank as put_in_order

    store = current_store()
    reference = load_file(store.open(float32.file))
    logits = {
        c.answers.file.sha256: load_file(store.open(c.answers.file))["logits"] for c in candidates
    }
    report = put_in_order(candidates, logits, reference["logits"], reference["labels"])
    return SweepResult(report=store.put_model("sweep", report))
