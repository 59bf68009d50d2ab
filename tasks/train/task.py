"""The stage as Prefect runs it."""

import hashlib
import json

from schemas.data import DataRef
from schemas.model import NetworkRef
from schemas.train import TrainConfig, TrainResult
from tasks.caching import identity, stage


@stage("train", rooms=("artifacts", "models", "datasets"), versions=("torch", "torchvision"))
def train(net: NetworkRef, data: DataRef, config: TrainConfig) -> TrainResult:
    """Make an FP32 checkpoint. An interrupted run goes on after its last whole epoch."""
    from tasks.artifacts.store import current_store
    from tasks.datasets.open import open_dataset
    from tasks.models.build import build_model
    from tasks.models.weights import save_weights
    from tasks.train.state import StateFile
    from tasks.train.train import train as fit

    store = current_store()
    material = json.dumps([identity(part) for part in (net, data, config)], sort_keys=True)
    training = hashlib.sha256(material.encode()).hexdigest()
    state = StateFile(store.root / "training" / f"{training[:16]}.pt", training)
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
