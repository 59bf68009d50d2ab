"""The seam between the stages and PyTorch's quantization interfaces.

A stage asks ``quantizer(mode)`` and knows no interface by name. What passes from calibration to
conversion is a table of scales by observer name, so preparing must be deterministic: the same
network, config and example give observers of the same names at the same places.
"""

import logging
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.convert import QuantizationConfig, QuantizedMode, QuantizedModule

Exporter = Literal["torchscript", "dynamo"]
"""Which of PyTorch's ONNX exporters reads what a quantizer converts."""

NOTHING_SEEN = CalibrationTable(images=1, images_sha256="", tensors={})
"""The table of a calibration that is still to come."""


class Quantizer(Protocol):
    """One of PyTorch's ways from an FP32 network to an INT8 one.

    ``model`` is the FP32 network in evaluation mode, on the CPU, and stays as it is. ``example`` is
    ``float32[2, C, H, W]`` on the CPU: the shape of an input with a batch that is not one. Every
    method raises InputError, in one line, where the network or the config cannot be used.
    """

    mode: QuantizedMode
    exporter: Exporter

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """A copy with observers in place, which takes batches of any size, on any device."""
        ...

    def read_ranges(self, prepared: nn.Module) -> dict[str, TensorRange]:
        """What the observers saw and the scales that follow, by observer name.

        ``prepared`` is on the CPU. Observers that saw nothing are left out. Raises InputError where
        a range is not finite.
        """
        ...

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """The INT8 network on the CPU, every observer replaced by its scale in the table.

        A name that the table lacks gets a default grid: with an empty table the network has the
        right structure, which is all that a trial export or ``load_int8`` needs.
        """
        ...

    def int8_state(self, int8: nn.Module) -> dict[str, Any]:
        """All that ``load_int8`` needs besides the FP32 network, the config and the example.

        Holds what ``torch.load(weights_only=True)`` reads. Weights, scales and zero-points.
        """
        ...

    def load_int8(
        self, model: nn.Module, config: QuantizationConfig, state: dict[str, Any], example: Tensor
    ) -> nn.Module:
        """The INT8 network again, from what ``int8_state`` gave."""
        ...

    def explain(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> tuple[QuantizedModule, ...]:
        """What becomes of each module and operation, and why, in the order of execution.

        Scales come from the table, which may be empty.
        """
        ...


def quantizer(mode: QuantizedMode) -> Quantizer:
    """The quantizer of a mode, its libraries imported only now."""
    if mode == "pt2e":
        # torchao makes torch log a deprecation that its user can do nothing about.
        logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
        from tasks.models.pt2e.quantizer import Pt2eQuantizer

        return Pt2eQuantizer()
    if mode == "fx":
        from tasks.models.fx import FxQuantizer

        return FxQuantizer()
    from tasks.models.eager import EagerQuantizer

    return EagerQuantizer()
