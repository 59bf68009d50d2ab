"""The FP32 network, as every stage that computes with it gets it."""

from torch import nn

from schemas.model import ModelRef
from tasks.artifacts.store import Store
from tasks.models.build import build_model
from tasks.models.weights import load_weights


def load_float32(model: ModelRef, store: Store) -> nn.Module:
    """A network with its weights, in evaluation mode.

    Raises InputError where the factory or the checkpoint cannot be used.
    """
    network = build_model(model.factory, model.kwargs)
    load_weights(network, store.open(model.weights))
    network.eval()  # What it returns is for its own train() to say, and some say nothing.
    return network
