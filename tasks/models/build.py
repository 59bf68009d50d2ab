"""Networks from their factories."""

from collections.abc import Mapping

from pydantic import JsonValue
from torch import Tensor, nn

from schemas.errors import InputError
from tasks.models.factory import call


def build_model(factory: str, kwargs: Mapping[str, JsonValue]) -> nn.Module:
    """Call a model factory; the network has the weights that its constructor gave it.

    Raises InputError where the factory does not import, is not callable, does not take ``kwargs``,
    raises, or returns something else than a ``torch.nn.Module``.
    """
    model = call(factory, kwargs)
    if isinstance(model, dict) and any(isinstance(value, Tensor) for value in model.values()):
        raise InputError(
            f"factory {factory} returned a state dict: name one that returns the network, and "
            "store the weights as safetensors for model.weights"
        )
    if not isinstance(model, nn.Module):
        raise InputError(
            f"factory {factory} returned a {type(model).__name__}, not a torch.nn.Module: "
            "name one that returns the network"
        )
    return model
