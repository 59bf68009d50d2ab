"""The stage as Prefect runs it."""

from schemas.equalize import EqualizationConfig, EqualizeResult
from schemas.model import ModelRef
from tasks.caching import stage


@stage("equalize", rooms=("artifacts", "models"), versions=("torch", "torchvision"))
def equalize(model: ModelRef, config: EqualizationConfig) -> EqualizeResult:
    """A checkpoint of the same answers, whose weight ranges are even from layer to layer."""
    from tasks.artifacts.store import current_store
    from tasks.equalize.equalize import equalize as even_out
    from tasks.models.float32 import load_float32
    from tasks.models.weights import save_weights

    store = current_store()
    network = load_float32(model, store)
    summary = even_out(network, config)
    with store.workspace() as folder:
        file = folder / "equalized.safetensors"
        save_weights(network, file)
        return EqualizeResult(
            weights=store.put_file("checkpoint", file),
            summary=store.put_model("equalization", summary),
        )
