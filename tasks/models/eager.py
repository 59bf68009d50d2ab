"""PyTorch eager-mode post-training quantization for TensorRT.

Activations are ``quint8`` with a symmetric range, which fixes the zero-point at 128: the same grid
as int8 with zero-point 0, and the one that every torch since 2.11 still converts and exports
(``qint8`` activations are refused by the per-channel kernels). Weights are ``qint8``, symmetric per
output channel, within +-127 as TensorRT has them.

The order is prepare, observe, convert. Preparing is deterministic, so that a table of scales and
the FP32 network are all that is needed to make the INT8 network again.

Source: PyTorch's quantization documentation, eager mode; NVIDIA's explicit-quantization scheme.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.quantization import (
    FixedQParamsObserver,
    ObserverBase,
    QConfig,
    QuantStub,
    convert,
    prepare,
)

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.convert import QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError
from tasks.models.observers import activation_observer, weight_observer
from tasks.models.quantizer import Exporter

SYMMETRIC_ZERO_POINT = 128
NOTHING_SEEN = CalibrationTable(images=1, images_sha256="", tensors={})


@contextmanager
def quiet() -> Iterator[None]:
    """Without the deprecation notices that every call into eager mode and its exporter prints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def prepare_for_calibration(model: nn.Module, config: QuantizationConfig) -> nn.Module:
    """A copy of an FP32 network with conv, BatchNorm and ReLU fused and observers in place.

    Raises InputError where the network has no QuantStub or no ``fuse_model``.
    """
    if not any(isinstance(module, QuantStub) for module in model.modules()):
        raise InputError(
            f"model {type(model).__name__} has no torch.ao.quantization.QuantStub, so eager mode "
            "finds nothing to quantize: use a quantizable variant, such as those in "
            "torchvision.models.quantization"
        )
    fuse = getattr(model, "fuse_model", None)
    if not callable(fuse):
        raise InputError(
            f"model {type(model).__name__} has no fuse_model method: give it one that calls "
            "torch.ao.quantization.fuse_modules on each conv, BatchNorm and ReLU"
        )
    torch.backends.quantized.engine = config.kernels
    prepared = copy.deepcopy(model).eval()
    with quiet():
        prepared.fuse_model()  # type: ignore[operator]
        prepared.qconfig = QConfig(  # type: ignore[assignment, no-untyped-call]
            activation=activation_observer(config.observer, config),
            weight=weight_observer(config),
        )
        observed: nn.Module = prepare(prepared, inplace=True)  # type: ignore[no-untyped-call]
    return observed


def activation_observers(prepared: nn.Module) -> dict[str, ObserverBase]:
    """The activation observers of a prepared network, by module name, in module order."""
    return {
        name: module
        for name, module in prepared.named_modules()
        if isinstance(module, ObserverBase)
    }


def read_ranges(prepared: nn.Module) -> dict[str, TensorRange]:
    """What the observers saw and the scales that follow, by observer name.

    Observers that no image reached are left out; ``convert`` gives them the default grid.
    Raises InputError where a range is not finite.
    """
    ranges: dict[str, TensorRange] = {}
    for name, observer in activation_observers(prepared).items():
        minimum, maximum = float(observer.min_val), float(observer.max_val)  # type: ignore[arg-type]
        if minimum > maximum:
            continue
        if not torch.isfinite(torch.tensor([minimum, maximum])).all():
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
    return ranges


def convert_with_table(
    model: nn.Module, config: QuantizationConfig, table: CalibrationTable
) -> nn.Module:
    """The INT8 network of an FP32 network and its calibration table.

    Every observer is replaced by one that holds the table's scale.
    """
    prepared = prepare_for_calibration(model, config)
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
    return int8


class EagerQuantizer:
    """Stubs, observers and integer modules."""

    mode: QuantizedMode = "eager"
    exporter: Exporter = "torchscript"

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """See ``Quantizer``."""
        return prepare_for_calibration(model, config)

    def read_ranges(self, prepared: nn.Module) -> dict[str, TensorRange]:
        """See ``Quantizer``."""
        return read_ranges(prepared)

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        return convert_with_table(model, config, table)

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
        int8 = self.convert_with_table(model, config, table, example)
        modules = []
        for name, module in int8.named_modules():
            if any(True for _ in module.children()) or isinstance(module, nn.Identity):
                continue
            seen = table.tensors.get(f"{name}.activation_post_process")
            modules.append(
                QuantizedModule(
                    name=name,
                    kind=type(module).__name__,
                    became=type(module).__name__,
                    quantized=type(module).__module__.startswith("torch.ao.nn"),
                    scale=seen.scale if seen else None,
                )
            )
        return tuple(modules)
