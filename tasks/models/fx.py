"""PyTorch's FX graph mode: the same integer modules as eager mode, placed by ``prepare_fx``.

It decides by PyTorch's own patterns what is INT8, where ``eager`` decides by what TensorRT makes of
it. Kept for those who have results in this mode to compare with.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.ao.quantization import QConfig, QConfigMapping
from torch.ao.quantization.observer import FixedQParamsObserver
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.convert import Observer, QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError
from tasks.models.eager import NOTHING_SEEN, activation_observers, quiet, read_ranges
from tasks.models.observers import activation_observer, weight_observer
from tasks.models.prepare.trace import UntraceableError, trace
from tasks.models.quantizer import Exporter
from tasks.models.selection import WEIGHTED, Selection


class FxQuantizer:
    """See ``tasks.models.quantizer.Quantizer``."""

    mode: QuantizedMode = "fx"
    exporter: Exporter = "torchscript"

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """See ``Quantizer``."""
        graph = _traced(model, example)
        selection = Selection(model, config, _order(graph))
        torch.backends.quantized.engine = config.kernels
        mapping = QConfigMapping().set_global(_qconfig(config.observer, config))
        for name, module in graph.named_modules():
            if not name:
                continue
            if selection.why_float(name, type(module)) is not None:
                mapping.set_module_name(name, None)
            elif (observer := selection.observer(name)) != config.observer:
                mapping.set_module_name(name, _qconfig(observer, config))
        try:
            with quiet():
                return prepare_fx(graph, mapping, (example,))
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise InputError(
                f"model {type(model).__name__}: FX graph mode cannot prepare it: "
                f"{type(error).__name__}: {lines[0]}; try another quantization.mode"
            ) from error

    def read_ranges(self, prepared: nn.Module) -> dict[str, TensorRange]:
        """See ``Quantizer``."""
        return read_ranges(prepared)

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        prepared: Any = self.prepare(model, config, example)
        for name in activation_observers(prepared):
            entry = table.tensors.get(name)
            if entry is not None:
                fixed = FixedQParamsObserver(  # type: ignore[no-untyped-call]
                    scale=entry.scale,
                    zero_point=entry.zero_point,
                    dtype=torch.quint8,
                    qscheme=torch.per_tensor_symmetric,
                    quant_min=0,
                    quant_max=255,
                )
                setattr(prepared, name, fixed)
        with quiet():
            int8: nn.Module = convert_fx(prepared)
        return int8

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
        graph = _traced(model, example)
        selection = Selection(model, config, _order(graph))
        int8 = self.convert_with_table(model, config, table, example)
        assert isinstance(int8, fx.GraphModule)
        made = dict(int8.named_modules())
        rows = []
        for node in graph.graph.nodes:
            if node.op != "call_module":
                continue
            became = made.get(node.target)
            integer = type(became).__module__.startswith("torch.ao.nn")
            unwanted = selection.why_float(node.target, type(graph.get_submodule(node.target)))
            rows.append(
                QuantizedModule(
                    name=node.target,
                    kind=type(graph.get_submodule(node.target)).__name__,
                    became=type(became).__name__ if became is not None else "",
                    quantized=integer,
                    scale=_scale(became) if integer else None,
                    why=unwanted or "by FX graph mode's own patterns",
                )
            )
        return tuple(rows)


def _scale(module: Any) -> float | None:
    return float(module.scale) if hasattr(module, "scale") else None


def _traced(model: nn.Module, example: Tensor) -> fx.GraphModule:
    try:
        graph, _ = trace(model, example)
    except UntraceableError as error:
        raise InputError(
            f"model {type(model).__name__}: {error}; FX graph mode needs a traceable network: "
            "set quantization.mode to pt2e"
        ) from error
    for node in graph.graph.nodes:
        if node.target == "view":
            # Integer convolutions lay their output out by channels last, which view refuses.
            node.target = "reshape"
    graph.recompile()
    return graph


def _order(graph: fx.GraphModule) -> list[str]:
    modules = dict(graph.named_modules())
    return [
        str(node.target)
        for node in graph.graph.nodes
        if node.op == "call_module" and isinstance(modules[str(node.target)], WEIGHTED)
    ]


def _qconfig(observer: Observer, config: QuantizationConfig) -> QConfig:
    return QConfig(  # type: ignore[no-untyped-call]
        activation=activation_observer(observer, config), weight=weight_observer(config)
    )
