"""A network's forward and backward pass as CUDA graphs.

Small networks' kernels are done before Python has queued the next ones; a graph queues all of them
at once.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tasks.train.device import autocast

log = logging.getLogger("enginesmith")


def graphed(model: nn.Module, sample: Tensor, precision: torch.dtype) -> Callable[[Tensor], Tensor]:
    """What to call in the place of ``model`` while it trains on batches shaped like ``sample``.

    The network is left as it was, its BatchNorm statistics too. One that cannot be recorded, such
    as for a decision that depends on values, is returned itself.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    model.train()
    try:
        with autocast(sample.device, precision):
            torch.cuda.make_graphed_callables(model, (sample,))
    except RuntimeError as error:
        log.warning("training without CUDA graphs: %s", str(error).splitlines()[0])
        # It still takes itself for recording, and refuses to draw for dropout.
        generator = torch.cuda.default_generators[sample.device.index or 0]
        generator.graphsafe_set_state(torch.Generator(sample.device).graphsafe_get_state())
        return model
    finally:
        # It replaces the method, which would outlive the training.
        recorded = model.__dict__.pop("forward", model)
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
    found: Callable[[Tensor], Tensor] = recorded
    return found
