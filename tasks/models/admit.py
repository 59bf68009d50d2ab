"""Whether a network is one that can be quantized here at all."""

import inspect

import torch
from torch import Tensor, nn

from schemas.errors import InputError, cause


@torch.no_grad()
def admit(model: nn.Module, example: Tensor, num_classes: int | None = None) -> None:
    """Try a network in evaluation mode on noise of an example's shape: ``float32[N, C, H, W]``.

    Raises InputError where its weights are not finite, it wants more than images, it does not take
    them, its answer is no single tensor with a row an image, of ``num_classes`` numbers where they
    are given, it writes into the images, or answers the same ones differently the second time.
    """
    kind = f"model {type(model).__name__}"
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{kind} has NaN or infinity in {name}: give it other weights")
    _check_inputs(model, kind)
    images = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    kept = images.clone()
    try:
        answer = model(images)
        again = model(kept.clone())
    except Exception as error:
        raise InputError(
            f"{kind} does not take images of shape {list(example.shape[1:])} "
            f"({type(error).__name__}: {cause(error)}): set data.image_size, or model.kwargs"
        ) from error
    if not isinstance(answer, Tensor):
        raise InputError(
            f"{kind} returns {_described(answer)} and not one tensor of logits: name a factory "
            "that wraps it and returns the one that counts"
        )
    if not answer.ndim or answer.shape[0] != len(example):
        raise InputError(
            f"{kind} returns a tensor of shape {list(answer.shape)} for {len(example)} images: "
            "return a row for each"
        )
    if num_classes is not None and answer.shape[1:] != (num_classes,):
        raise InputError(
            f"{kind} answers an image with a row of shape {list(answer.shape[1:])} and the data "
            f"has {num_classes} classes: set the model's number of classes in model.kwargs"
        )
    if not torch.equal(images, kept):
        raise InputError(
            f"{kind} changes its images in place: write x = x - mean for x.sub_(mean), and so on"
        )
    if not _alike(answer, again):
        raise InputError(
            f"{kind} answers differently each time, in evaluation mode too: take out what draws "
            "random numbers, or give F.dropout its training=self.training"
        )


def _alike(one: Tensor, other: Tensor) -> bool:
    """Equal, NaN included, but for what a kernel's threads may add up in another order."""
    one, other = one.double().nan_to_num(), other.double().nan_to_num()
    return bool((one - other).norm() <= 1e-4 * one.norm())


def _check_inputs(model: nn.Module, kind: str) -> None:
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1:
        raise InputError(
            f"{kind} takes {len(needed)} inputs ({', '.join(needed)}): name a factory that wraps "
            "it in a module whose forward takes images alone"
        )


def _described(answer: object) -> str:
    if isinstance(answer, dict):
        return f"a dict of {', '.join(map(str, answer))}"
    if isinstance(answer, (tuple, list)):
        return f"{len(answer)} outputs"
    return f"a {type(answer).__name__}"
