"""Which of PyTorch's quantization interfaces a network goes through."""

from dataclasses import dataclass
from io import BytesIO

import torch
from torch import Tensor, nn

from schemas.convert import QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError, cause
from tasks.models.exporter import write_onnx
from tasks.models.prepare.quantizable import is_quantizable, traced
from tasks.models.prepare.reach import execution_order, value_read_from
from tasks.models.prepare.trace import DataDependentError, UntraceableError, undecidable
from tasks.models.quantizer import NOTHING_SEEN, quantizer
from tasks.models.selection import WEIGHTED, Selection

TRIAL_OPSET = 17
_PRODUCTS = frozenset(
    {"conv1d", "conv2d", "conv3d", "linear"}
    | {f"conv_transpose{dimensions}d" for dimensions in (1, 2, 3)}
)
"""Functions that multiply by matrices of weights."""


@dataclass(frozen=True)
class Choice:
    """A mode, and why in words."""

    mode: QuantizedMode
    reason: str


def example_of(input_shape: tuple[int, ...]) -> Tensor:
    """The example that quantizers get for images of (C, H, W): ``float32[2, C, H, W]``."""
    return torch.zeros(2, *input_shape)


def choose(model: nn.Module, config: QuantizationConfig, example: Tensor) -> Choice:
    """The mode that the job names or, where it leaves that open, the one that the network allows.

    The same network, config and example give the same choice: eager mode where it is shown by
    trying that it prepares, quantizes and exports the network, else PyTorch 2 Export, else eager
    mode on each weighted module alone. The network is one that ``admit`` let in. Raises InputError
    where it cannot be quantized.
    """
    if config.mode != "auto":
        return Choice(config.mode, f"quantization.mode is {config.mode}")
    if is_quantizable(model):
        return Choice("eager", "the network has QuantStubs and fuse_model")
    try:
        traced(model, example)
        refusal = _eager_refusal(model, config, example)
        if refusal is None:
            return Choice("eager", "prepared automatically: it traces, quantizes and exports")
    except DataDependentError as error:
        raise undecidable(model, error) from error
    except UntraceableError as error:
        _check_decisions(model, example)
        refusal = str(error)
    try:
        quantizer("pt2e").prepare(model, config, example)
    except InputError as error:
        return _last_resort(model, config, example, refusal, str(error))
    return Choice("pt2e", f"not eager: {refusal}")


def _check_decisions(model: nn.Module, example: Tensor) -> None:
    """No interface makes a graph of code that branches on values: each would keep one case."""
    line = value_read_from(model, example)
    if line is not None:
        raise undecidable(model, f"its forward decides by the values of the images ({line})")


def _last_resort(
    model: nn.Module, config: QuantizationConfig, example: Tensor, eager: str, pt2e: str
) -> Choice:
    try:
        _try(model, config, example)
    except InputError as error:
        raise InputError(
            f"model {type(model).__name__} cannot be quantized (eager: {eager}; pt2e: {pt2e}): "
            "leave out what they name with quantization.exclude, or change it in the network"
        ) from error
    return Choice("eager", f"not pt2e: {pt2e}; eager in part: {eager}")


def _eager_refusal(model: nn.Module, config: QuantizationConfig, example: Tensor) -> str | None:
    """Why eager mode does not do for a traceable network; None where it does."""
    rows = quantizer("eager").explain(model, config, NOTHING_SEEN, example)
    selection = Selection(model, config, execution_order(model, example))
    lost = _left_in_float(model, selection, rows)
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        return f"it would leave {lost[0].name}{more} in float: {lost[0].why}"
    try:
        _try(model, config, example)
    except InputError as error:
        return str(error)
    return None


def _left_in_float(
    model: nn.Module, selection: Selection, rows: tuple[QuantizedModule, ...]
) -> list[QuantizedModule]:
    """What has matrices of weights and would stay in float though the job did not ask for it."""
    known = dict(model.named_modules())

    def weighted(row: QuantizedModule) -> bool:
        # A call of F.conv2d, on weights that are computed first, is of the module it is written in.
        return _has_weights(known[row.name]) if row.name in known else row.kind in _PRODUCTS

    def asked_for(row: QuantizedModule) -> bool:
        name = row.name if row.name in known else row.name.rpartition(".")[0]
        return selection.why_float(name) is not None or row.why.startswith("the ")

    return [row for row in rows if not row.quantized and weighted(row) and not asked_for(row)]


def _has_weights(module: nn.Module) -> bool:
    inside = [m for m in module.modules() if isinstance(m, WEIGHTED)]
    return bool(inside) or isinstance(module, nn.MultiheadAttention)


def _try(model: nn.Module, config: QuantizationConfig, example: Tensor) -> None:
    """Quantize with scales of no meaning, answer once, and export; raises InputError."""
    chosen = quantizer("eager")
    int8 = chosen.convert_with_table(model, config, NOTHING_SEEN, example)
    try:
        with torch.inference_mode():
            int8(example)
    except RuntimeError as error:
        raise InputError(
            f"its INT8 form does not run ({cause(error)}): leave the module out with "
            "quantization.exclude"
        ) from error
    write_onnx(int8, example, BytesIO(), chosen.exporter, opset=TRIAL_OPSET, dynamic_batch=True)
