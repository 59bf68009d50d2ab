"""Checkpoints: safetensors files, which hold tensors and can run no code."""

from collections.abc import Iterable, Set
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from schemas.errors import InputError

_PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
# A zip archive is what torch.save writes; the others open a pickle of protocol 2 to 5.
_PICKLE_HEADS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises InputError where it is missing, a pickle, damaged, or holds values that are not finite.
    """
    if not path.is_file():
        raise InputError(
            f"there is no checkpoint {path}: correct model.weights, or leave it out to train one"
        )
    with path.open("rb") as file:
        head = file.read(9)
    # Safetensors begin with the length of their header in eight bytes, which may be any.
    pickled = head.startswith(_PICKLE_HEADS) and head[8:] != b"{"
    if path.suffix in _PICKLE_SUFFIXES or pickled:
        raise InputError(
            f"{path} is a pickle, which can run code when it is read, and was not opened: convert "
            "it where you trust it, and of a training checkpoint its entry, such as "
            "['state_dict'] behind torch.load(...), with "
            'python -c "import torch, safetensors.torch as s; '
            f"s.save_file(torch.load('{path}', map_location='cpu', weights_only=True), "
            f"'{path.with_suffix('.safetensors')}')\""
        )
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a whole safetensors file ({error}): copy or train it again"
        ) from error
    broken = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise InputError(f"{path} has NaN or infinity in {_names(broken)}: train it again")
    return tensors


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy a checkpoint into a network; half-precision weights become the network's own type.

    Raises InputError as ``read_weights`` does, and where names, shapes or kinds differ: of
    ``model.weights`` then, as a run reads its copy in the store.
    """
    tensors = read_weights(path)
    own = model.state_dict()
    missing, unexpected = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    if missing or unexpected:
        prefix = _prefix(missing, unexpected)
        if prefix:
            raise InputError(
                f"model.weights does not fit the network, its names begin with '{prefix}': save "
                "them without it"
            )
        raise InputError(
            f"model.weights does not fit the network (missing: {_names(missing)}; unexpected: "
            f"{_names(unexpected)}): check model.factory and model.kwargs"
        )
    shapes = [
        f"{name} is {list(tensor.shape)} and should be {list(own[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != own[name].shape
    ]
    if shapes:
        raise InputError(
            f"model.weights does not fit the network: {_names(shapes)}: check model.kwargs, "
            "such as num_classes"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise InputError(
                f"model.weights does not fit the network: {name} is {tensor.dtype} and should be "
                f"{own[name].dtype}: store the network's own types"
            )
    model.load_state_dict(tensors)


def save_weights(model: nn.Module, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write a network's state as safetensors, its floats as ``dtype`` if given.

    The same weights give the same bytes: there is no metadata and no time in the file.
    """
    state = {
        name: (tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor)
        .detach()
        .cpu()
        .contiguous()
        .clone()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, path)


def _prefix(missing: Set[str], unexpected: Set[str]) -> str | None:
    """What stands ahead of every name that the network does not know, as a wrapper leaves it."""
    first = min(unexpected, default="")
    for name in missing:
        prefix = first.removesuffix(name)
        if prefix != first and unexpected <= {prefix + other for other in missing}:
            return prefix
    return None


def _names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (
        f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    ) or ("none")
