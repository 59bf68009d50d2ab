"""PyTorch eager-mode post-training quantization for TensorRT.

Activations are ``quint8`` with a symmetric range, which fixes the zero-point at 128: the same grid
as int8 with zero-point 0, and the one that every torch since 2.11 still converts and exports
(``qint8`` activations are refused by the per-channel kernels). Weights are ``qint8``, symmetric per
output channel, within +-127 as TensorRT has them.

The order is prepare, observe, convert. Preparing is deterministic, so that a table of scales and
the FP32 network are all that is needed to make the INT8 network again.

Source: PyTorch's quantization documentation, eager mode; NVIDIA's explicit-quantization scheme.
"""

from torch import Tensor, nn
from torch.ao.quantization import convert, prepare

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError
from tasks.models.integer_modules import IntegerModules, fix_scales, qconfig
from tasks.models.kernels import mend_clamps, use_kernels
from tasks.models.prepare.clamped import drop_relus
from tasks.models.prepare.explain import explain
from tasks.models.prepare.quantizable import Quantizable, as_written, is_quantizable, quantizable
from tasks.models.prepare.trace import DataDependentError, undecidable
from tasks.models.quantizer import Exporter
from tasks.models.quiet import quiet
from tasks.models.selection import Selection


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
    use_kernels(model, config)
    network = made.network
    selection = Selection(model, config, copies=made.placement.copies)
    network.qconfig = qconfig(config.observer, config)  # type: ignore[assignment]
    for name, module in network.named_modules():
        if name in made.placement.float_modules:
            module.qconfig = None
            continue
        observer = selection.observer(*made.placement.fused.get(name, (name,)))
        if name and observer != config.observer:
            module.qconfig = qconfig(observer, config)
    observed: nn.Module = prepare(network, inplace=True)  # type: ignore[no-untyped-call]
    observed.ties = made.placement.ties  # type: ignore[assignment]
    return observed


def convert_with_table(
    model: nn.Module, config: QuantizationConfig, table: CalibrationTable
) -> nn.Module:
    """The INT8 network of a network written for eager mode and its calibration table."""
    return _converted(prepare_for_calibration(model, config), table)


def _converted(prepared: nn.Module, table: CalibrationTable) -> nn.Module:
    fix_scales(prepared, table)
    with quiet():
        int8: nn.Module = convert(prepared, inplace=True)  # type: ignore[no-untyped-call]
    drop_relus(int8)
    mend_clamps(int8)
    return int8


class EagerQuantizer(IntegerModules):
    """Stubs, observers and integer modules."""

    mode: QuantizedMode = "eager"
    exporter: Exporter = "torchscript"

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """See ``Quantizer``."""
        with quiet():
            return _observed(_quantizable(model, config, example), model, config)

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        return _converted(self.prepare(model, config, example), table)

    def explain(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> tuple[QuantizedModule, ...]:
        """See ``Quantizer``."""
        with quiet():
            return explain(model, _quantizable(model, config, example), table)


def _quantizable(model: nn.Module, config: QuantizationConfig, example: Tensor) -> Quantizable:
    try:
        return quantizable(model, config, example)
    except DataDependentError as error:
        raise undecidable(model, error) from error
