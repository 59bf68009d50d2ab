"""PyTorch's FX graph mode: the same integer modules as eager mode, placed by ``prepare_fx``.

It decides by PyTorch's own patterns what is INT8, where ``eager`` decides by what TensorRT makes of
it. Kept for those who have results in this mode to compare with.
"""

import re
from typing import Any

from torch import Tensor, fx, nn
from torch.ao.quantization import QConfigMapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.nn.modules.batchnorm import _BatchNorm

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError, cause
from tasks.models.integer_modules import IntegerModules, fix_scales, qconfig
from tasks.models.kernels import mend_clamps, use_kernels
from tasks.models.prepare.trace import DataDependentError, UntraceableError, trace, undecidable
from tasks.models.quantizer import Exporter
from tasks.models.quiet import quiet
from tasks.models.selection import WEIGHTED, Selection


class FxQuantizer(IntegerModules):
    """See ``tasks.models.quantizer.Quantizer``."""

    mode: QuantizedMode = "fx"
    exporter: Exporter = "torchscript"

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """See ``Quantizer``."""
        graph = _traced(model, example)
        selection = Selection(model, config, _order(graph))
        use_kernels(model, config)
        mapping = QConfigMapping().set_global(qconfig(config.observer, config))
        fused = _fused(graph, selection)
        for name, module in graph.named_modules():
            if not name:
                continue
            observer = selection.observer(*fused.get(name, (name,)))
            if selection.why_float(name, type(module)) is not None:
                mapping.set_module_name(name, None)
            elif observer != config.observer:
                mapping.set_module_name(name, qconfig(observer, config))
        try:
            with quiet():
                return prepare_fx(graph, mapping, (example,))
        except Exception as error:
            raise InputError(
                f"model {type(model).__name__}: FX graph mode cannot prepare it "
                f"({type(error).__name__}: {cause(error)}): choose another quantization.mode"
            ) from error

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        prepared: Any = self.prepare(model, config, example)
        fix_scales(prepared, table)
        with quiet():
            int8: nn.Module = convert_fx(prepared)
        mend_clamps(int8)
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
            # Float modules that were fused are in torch.ao.nn.intrinsic.modules.
            integer = re.match(r"torch\.ao\.nn\..*quantized\.", type(became).__module__) is not None
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
    except DataDependentError as error:
        raise undecidable(model, error) from error
    except UntraceableError as error:
        raise InputError(
            f"model {type(model).__name__}: {error}; FX graph mode needs a traceable network: "
            "set quantization.mode to pt2e"
        ) from error
    _refuse_norms_of_tokens(graph, type(model).__name__)
    for node in graph.graph.nodes:
        if node.target == "view":
            # Integer convolutions lay their output out by channels last, which view refuses.
            node.target = "reshape"
    graph.recompile()
    return graph


def _refuse_norms_of_tokens(graph: fx.GraphModule, name: str) -> None:
    """PyTorch folds a BatchNorm1d behind a linear layer by features, whatever its input's rank."""
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm1d):
            continue
        source = node.all_input_nodes[0]
        if type(modules.get(source.target)) is nn.Linear and len(node.meta["tensor"][1]) != 2:
            raise InputError(
                f"model {name}: FX graph mode folds {node.target}, which norms tokens, into "
                f"{source.target} as if it normed features: choose another quantization.mode"
            )


def _order(graph: fx.GraphModule) -> list[str]:
    modules = dict(graph.named_modules())
    return [
        str(node.target)
        for node in graph.graph.nodes
        if node.op == "call_module" and isinstance(modules[str(node.target)], WEIGHTED)
    ]


def _fused(graph: fx.GraphModule, selection: Selection) -> dict[str, list[str]]:
    """The names of each layer and of the BatchNorm and ReLU that PyTorch fuses with it."""
    modules = dict(graph.named_modules())
    fused: dict[str, list[str]] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], WEIGHTED):
            continue
        names = fused.setdefault(node.target, [node.target])
        for kind in (_BatchNorm, nn.ReLU):
            reader = next(iter(node.users), None)
            if reader is None or len(node.users) > 1 or reader.op != "call_module":
                break
            if isinstance(modules[reader.target], kind):
                if selection.why_float(reader.target) is not None:
                    break
                names.append(reader.target)
                node = reader
    return fused
