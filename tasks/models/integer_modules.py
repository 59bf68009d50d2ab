"""What eager mode and FX graph mode share: observers, ranges and the modules of ``torch.ao.nn``."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import FixedQParamsObserver, ObserverBase, QConfig

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.convert import Observer, QuantizationConfig
from schemas.errors import InputError
from tasks.models.observers import activation_observer, weight_observer
from tasks.models.prepare.clamped import Clamped
from tasks.models.prepare.functional import FunctionalOp
from tasks.models.quantizer import NOTHING_SEEN
from tasks.models.quiet import quiet

OBSERVER = "activation_post_process"


def qconfig(observer: Observer, config: QuantizationConfig) -> QConfig:
    """The observers of an activation and of weights, as PyTorch wants them together."""
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


def fix_scales(prepared: nn.Module, table: CalibrationTable) -> None:
    """Replace every observer that the table names by one that holds the table's scale."""
    for name in activation_observers(prepared):
        if (entry := table.tensors.get(name)) is None:
            continue
        parent, _, child = name.rpartition(".")
        fixed = FixedQParamsObserver(  # type: ignore[no-untyped-call]
            scale=entry.scale,
            zero_point=entry.zero_point,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_symmetric,
            quant_min=0,
            quant_max=255,
        )
        setattr(prepared.get_submodule(parent), child, fixed)


class IntegerModules(ABC):
    """The half of a ``Quantizer`` that is the same wherever PyTorch's integer modules are made."""

    @abstractmethod
    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""

    def read_ranges(self, prepared: nn.Module) -> dict[str, TensorRange]:
        """See ``Quantizer``."""
        return read_ranges(prepared)

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
