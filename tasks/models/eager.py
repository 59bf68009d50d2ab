"""PyTorch eager-mode post-training quantization for TensorRT.

Activations are ``quint8`` with a symmetric range, which fixes the zero-point at 128: the same grid
as int8 with zero-point 0, and the one that every torch since 2.11 still converts and exports
(``qint8`` activations are refused by the per-channel kernels). Weights are ``qint8``, symmetric per
output channel, within +-127 as TensorRT has them.

The order is prepare, observe, convert. Preparing is deterministic, so that a table of scales and
the FP32 network are all that is needed to make the INT8 network again.

Source: PyTorch's quantization documentation, eager mode; NVIDIA's explicit-quantization scheme.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import (
    FixedQParamsObserver,
    ObserverBase,
    QConfig,
    convert,
    prepare,
)

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.convert import Observer, QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError
from tasks.models.observers import activation_observer, weight_observer
from tasks.models.prepare.clamped import Clamped, drop_relus
from tasks.models.prepare.explain import explain
from tasks.models.prepare.functional import FunctionalOp
from tasks.models.prepare.quantizable import Quantizable, as_written, is_quantizable, quantizable
from tasks.models.prepare.trace import UntraceableError
from tasks.models.quantizer import Exporter
from tasks.models.selection import Selection

SYMMETRIC_ZERO_POINT = 128
OBSERVER = "activation_post_process"
NOTHING_SEEN = CalibrationTable(images=1, images_sha256="", tensors={})


@contextmanager
def quiet() -> Iterator[None]:
    """Without the deprecation notices that every call into eager mode and its exporter prints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def prepare_for_calibration(model: nn.Module, config: QuantizationConfig) -> nn.Module:
    """A copy of an FP32 network with conv, BatchNorm and ReLU fused and observers in place.

    For networks that were written for eager mode; ``EagerQuantizer`` takes any. Raises InputError
    where the network has no QuantStub or no ``fuse_model``.
    """
    if not is_quantizable(model):
        raise InputError(
            f"model {type(model).__name__} has no QuantStub or no fuse_model method: use a "
            "quantizable variant, such as those in torchvision.models.quantization"
        )
    with quiet():
        return _observed(as_written(model, None), model, config)


def _observed(made: Quantizable, model: nn.Module, config: QuantizationConfig) -> nn.Module:
    """A quantizable network with its observers, and what ``read_ranges`` must know of it."""
    torch.backends.quantized.engine = config.kernels
    network = made.network
    selection = Selection(model, config)
    network.qconfig = _qconfig(config.observer, config)  # type: ignore[assignment]
    for name, module in network.named_modules():
        if name in made.placement.float_modules:
            module.qconfig = None
        elif name and (observer := selection.observer(name)) != config.observer:
            module.qconfig = _qconfig(observer, config)
    observed: nn.Module = prepare(network, inplace=True)  # type: ignore[no-untyped-call]
    observed.ties = made.placement.ties  # type: ignore[assignment]
    return observed


def _qconfig(observer: Observer, config: QuantizationConfig) -> QConfig:
    return QConfig(  # type: ignore[no-untyped-call]
        activation=activation_observer(observer, config), weight=weight_observer(config)
    )


def activation_observers(prepared: nn.Module) -> dict[str, ObserverBase]:
    """The activation observers of a prepared network, by module name, in module order."""
    return {
        name: module
        for name, module in prepared.named_modules()
        if isinstance(module, ObserverBase)
    }


def read_ranges(prepared: nn.Module) -> dict[str, TensorRange]:
    """What the observers saw and the scales that follow, by observer name.

    A tensor whose values are another's, moved, has the other's range and scale; an operation that
    the network never calls has none. Raises InputError where another observer saw nothing, or
    values that are not finite.
    """
    ranges: dict[str, TensorRange] = {}
    unseen: list[str] = []
    for name, observer in activation_observers(prepared).items():
        if not hasattr(observer, "min_val"):
            continue  # The range of a sigmoid is fixed.
        minimum, maximum = float(observer.min_val), float(observer.max_val)  # type: ignore[arg-type]
        if minimum > maximum:
            module = name.removesuffix(f".{OBSERVER}")
            # torchvision's blocks without a residual have an Add too, and never call it.
            if not isinstance(prepared.get_submodule(module), FloatFunctional):
                unseen.append(module)
            continue
        if not math.isfinite(minimum) or not math.isfinite(maximum):
            raise InputError(
                f"calibration: activation {name} reached {minimum}..{maximum}, which is not "
                "finite: check model.weights and data.mean/data.std"
            )
        scale, zero_point = observer.calculate_qparams()  # type: ignore[no-untyped-call]
        ranges[name] = TensorRange(
            minimum=minimum,
            maximum=maximum,
            scale=float(scale),
            zero_point=int(zero_point),
        )
    if unseen:
        raise InputError(
            f"calibration: no image reached {', '.join(unseen[:3])}"
            f"{f' and {len(unseen) - 3} more' if len(unseen) > 3 else ''}, so there is no scale "
            "for it: leave it in float with quantization.exclude"
        )
    for stub, source in getattr(prepared, "ties", {}).items():
        ranges[f"{stub}.{OBSERVER}"] = ranges[_observer_of(prepared, source)]
    return ranges


def _observer_of(prepared: nn.Module, module: str) -> str:
    found = prepared.get_submodule(module)
    inner = "op." if isinstance(found, FunctionalOp) else ""
    inner = "inner." if isinstance(found, Clamped) else inner
    return f"{module}.{inner}{OBSERVER}"


def convert_with_table(
    model: nn.Module, config: QuantizationConfig, table: CalibrationTable
) -> nn.Module:
    """The INT8 network of a network written for eager mode and its calibration table."""
    return _converted(prepare_for_calibration(model, config), table)


def _converted(prepared: nn.Module, table: CalibrationTable) -> nn.Module:
    """The INT8 network, every observer replaced by one that holds the table's scale."""
    for name in activation_observers(prepared):
        if name not in table.tensors:
            continue
        entry = table.tensors[name]
        parent, _, child = name.rpartition(".")
        setattr(
            prepared.get_submodule(parent),
            child,
            FixedQParamsObserver(  # type: ignore[no-untyped-call]
                scale=entry.scale,
                zero_point=entry.zero_point,
                dtype=torch.quint8,
                qscheme=torch.per_tensor_symmetric,
                quant_min=0,
                quant_max=255,
            ),
        )
    with quiet():
        int8: nn.Module = convert(prepared, inplace=True)  # type: ignore[no-untyped-call]
    drop_relus(int8)
    return int8


class EagerQuantizer:
    """Stubs, observers and integer modules."""

    mode: QuantizedMode = "eager"
    exporter: Exporter = "torchscript"

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """See ``Quantizer``."""
        with quiet():
            return _observed(_quantizable(model, config, example), model, config)

    def read_ranges(self, prepared: nn.Module) -> dict[str, TensorRange]:
        """See ``Quantizer``."""
        return read_ranges(prepared)

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        return _converted(self.prepare(model, config, example), table)

    def int8_state(self, int8: nn.Module) -> dict[str, Any]:
        """See ``Quantizer``."""
        return int8.state_dict()

    def load_int8(
        self, model: nn.Module, config: QuantizationConfig, state: dict[str, Any], example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        int8 = self.convert_with_table(model, config, NOTHING_SEEN, example)
        with quiet():
            int8.load_state_dict(state)
        return int8

    def explain(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> tuple[QuantizedModule, ...]:
        """See ``Quantizer``."""
        with quiet():
            return explain(model, _quantizable(model, config, example), table)


def _quantizable(model: nn.Module, config: QuantizationConfig, example: Tensor) -> Quantizable:
    try:
        return quantizable(model, config, example)
    except UntraceableError as error:
        raise InputError(
            f"model {type(model).__name__}: {error}: write the branch with torch.where, or take it "
            "out of forward"
        ) from error
