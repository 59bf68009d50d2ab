"""The stage as Prefect runs it."""

from schemas.equalize import EqualizationConfig, EqualizeResult
from schemas.model import ModelRef
from tasks.caching import stage


@stage("equalize", rooms=("artifacts", "models"), versions=("torch", "torchvision"))
def equalize(
    model: ModelRef, config: EqualizationConfig, input_shape: tuple[int, int, int]
) -> EqualizeResult:
    """A checkpoint of the same answers, whose weight ranges are even from layer to layer."""
    from tasks.artifacts.store import current_store
    from tasks.equalize.equalize import check_answers
    from tasks.equalize.equalize import equalize as even_out
    from tasks.models.admit import admit
    from tasks.models.choose import example_of
    from tasks.models.float32 import load_float32
    from tasks.models.weights import save_weights

    store = current_store()
    network = load_float32(model, store)
    admit(network, example_of(input_shape))
    summary = even_out(network, config)
    with store.workspace() as folder:
        file = folder / "equalized.safetensors"
        save_weights(network, file)
        weights = store.put_file("checkpoint", file)
    # As the stages that follow get it: what the checkpoint does not hold is as it was.
    equalized = load_float32(model.model_copy(update={"weights": weights}), store)
    check_answers(load_float32(model, store), equalized, input_shape)
    return EqualizeResult(weights=weights, summary=store.put_model("equalization", summary))
