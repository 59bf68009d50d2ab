"""The stage as Prefect runs it."""

import hashlib
import json
from typing import TYPE_CHECKING

from schemas.calibrate import CalibrationConfig
from schemas.convert import QuantizationConfig
from schemas.data import DataRef
from schemas.finetune import FinetuneConfig, FinetuneResult
from schemas.model import ModelRef, NetworkRef
from schemas.train import TrainConfig, TrainResult
from tasks.caching import identity, stage

if TYPE_CHECKING:
    from tasks.artifacts.store import Store
    from tasks.train.state import StateFile


def _state(store: "Store", identities: list[object]) -> "StateFile":
    """Where the run that these inputs describe leaves its last whole epoch."""
    from tasks.train.state import StateFile

    training = hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()
    return StateFile(store.root / "training" / f"{training[:16]}.pt", training)


@stage("train", rooms=("artifacts", "models", "datasets"), versions=("torch", "torchvision"))
def train(net: NetworkRef, data: DataRef, config: TrainConfig) -> TrainResult:
    """Make an FP32 checkpoint. An interrupted run goes on after its last whole epoch."""
    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.models.build import build_model
    from tasks.models.weights import save_weights
    from tasks.train.train import train as fit

    store = current_store()
    state = _state(store, [identity(part) for part in (net, data, config)])
    model, history = fit(
        lambda: build_model(net.factory, net.kwargs),
        open_dataset(data.config, "train"),
        open_dataset(data.config, "test"),
        config,
        state,
    )
    with store.workspace() as folder:
        file = folder / "checkpoint.safetensors"
        save_weights(model, file)
        result = TrainResult(
            weights=store.put_file("checkpoint", file),
            history=store.put_model("training-history", history),
        )
    state.remove()
    return result


@stage("train", rooms=("artifacts", "models", "datasets"), versions=("torch", "torchvision"))
def finetune(
    model: ModelRef,
    data: DataRef,
    calibration: CalibrationConfig,
    quantization: QuantizationConfig,
    config: FinetuneConfig,
) -> FinetuneResult:
    """Train on from an FP32 checkpoint with rounding simulated; the best weights are kept."""
    import torch
    from torch import nn

    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.datasets.sample import draw
    from tasks.models.float32 import load_float32
    from tasks.models.weights import save_weights
    from tasks.train.finetune import finetune as fit
    from tasks.train.rounding import simulate_rounding

    store = current_store()
    parts = (model, data, calibration, quantization, config)
    state = _state(store, ["finetune", *(identity(part) for part in parts)])
    images = open_dataset(data.config, "train")
    candidates = open_dataset(data.config, calibration.split)
    indices, _ = draw(candidates, open_dataset(data.config, "test"), calibration)

    def rounding() -> nn.Module:
        batches = candidates.batches(calibration.batch_size, indices)
        return simulate_rounding(
            load_float32(model, store),
            (torch.from_numpy(batch.images) for batch in batches),
            quantization,
        )

    network, summary = fit(rounding, load_float32(model, store), images, config, state)
    with store.workspace() as folder:
        file = folder / "finetuned.safetensors"
        save_weights(network, file)
        result = FinetuneResult(
            weights=store.put_file("checkpoint", file),
            summary=store.put_model("finetuning", summary),
        )
    state.remove()
    return result
