"""PyTorch 2 Export quantization behind the seam of ``tasks.models.quantizer``.

The network is captured by torch.export, annotated by ``TensorRTQuantizer``, observed, and
converted by torchao into a graph with explicit quantize and dequantize operators around float
ones. That graph exports by the dynamo exporter and computes, in torch, what the ONNX graph says.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.observer import ObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.convert import QuantizationConfig, QuantizedMode, QuantizedModule
from schemas.errors import InputError
from tasks.models.pt2e.annotate import TensorRTQuantizer, execution_order
from tasks.models.pt2e.capture import capture
from tasks.models.pt2e.explain import explain_graph
from tasks.models.pt2e.fold import fold_batch_norms, value_of
from tasks.models.pt2e.network import ExportedNetwork
from tasks.models.pt2e.observers import ActivationObserver, fixed_observer
from tasks.models.pt2e.placement import label
from tasks.models.quantizer import Exporter
from tasks.models.quiet import quiet
from tasks.models.selection import Selection

UINT8_CENTRE = 128
DEFAULT_SCALE = 1.0


class Pt2eQuantizer:
    """See ``tasks.models.quantizer.Quantizer``."""

    mode: QuantizedMode = "pt2e"
    exporter: Exporter = "dynamo"

    def prepare(self, model: nn.Module, config: QuantizationConfig, example: Tensor) -> nn.Module:
        """See ``Quantizer``."""
        graph = capture(model, example)
        fold_batch_norms(graph)
        quantizer = TensorRTQuantizer(Selection(model, config, execution_order(graph)), config)
        with quiet():
            prepared = prepare_pt2e(graph, quantizer)
        return ExportedNetwork(prepared, *_name_observers(prepared))

    def read_ranges(self, prepared: nn.Module) -> dict[str, TensorRange]:
        """See ``Quantizer``."""
        assert isinstance(prepared, ExportedNetwork)
        ranges: dict[str, TensorRange] = {}
        for target, name in prepared.observer_names.items():
            observer = prepared.captured_graph.get_submodule(target)
            assert isinstance(observer, ActivationObserver)
            minimum, maximum = (_number(observer.inner, end) for end in ("min_val", "max_val"))
            if name in ranges or minimum > maximum:
                continue
            if not torch.isfinite(torch.tensor([minimum, maximum])).all():
                raise InputError(
                    f"calibration: activation {name} reached {minimum}..{maximum}, which is not "
                    "finite: check model.weights and data.mean/data.std"
                )
            scale, _ = observer.calculate_qparams()
            ranges[name] = TensorRange(
                minimum=minimum, maximum=maximum, scale=float(scale), zero_point=UINT8_CENTRE
            )
        return ranges

    def convert_with_table(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        return self._convert(model, config, {k: v.scale for k, v in table.tensors.items()}, example)

    def int8_state(self, int8: nn.Module) -> dict[str, Any]:
        """The scales of the activations, by observer name, and every tensor of the graph."""
        assert isinstance(int8, ExportedNetwork)
        return {"scales": int8.scales, "graph": int8.captured_graph.state_dict()}

    def load_int8(
        self, model: nn.Module, config: QuantizationConfig, state: dict[str, Any], example: Tensor
    ) -> nn.Module:
        """See ``Quantizer``."""
        int8 = self._convert(model, config, state["scales"], example)
        int8.captured_graph.load_state_dict(state["graph"])
        return int8

    def explain(
        self, model: nn.Module, config: QuantizationConfig, table: CalibrationTable, example: Tensor
    ) -> tuple[QuantizedModule, ...]:
        """See ``Quantizer``."""
        prepared = self.prepare(model, config, example)
        assert isinstance(prepared, ExportedNetwork)
        scales = {
            node: table.tensors[name].scale
            for node, name in prepared.watched.items()
            if name in table.tensors
        }
        graph = capture(model, example)
        selection = Selection(model, config, execution_order(graph))
        return explain_graph(graph, model, selection, scales)

    def _convert(
        self,
        model: nn.Module,
        config: QuantizationConfig,
        scales: dict[str, float],
        example: Tensor,
    ) -> ExportedNetwork:
        prepared = self.prepare(model, config, example)
        assert isinstance(prepared, ExportedNetwork)
        used = {name: scales.get(name, DEFAULT_SCALE) for name in prepared.observer_names.values()}
        graph = prepared.captured_graph
        for target, name in prepared.observer_names.items():
            graph.add_submodule(target, fixed_observer(used[name]))
        _observe_weights(graph)
        with quiet():
            converted = convert_pt2e(graph)
        return ExportedNetwork(converted, scales=used)


def _number(observer: nn.Module, buffer: str) -> float:
    value = observer.get_buffer(buffer)
    # A tensor without elements is how some observers say that they saw nothing.
    return float(value) if value.numel() else float("-inf" if buffer == "max_val" else "inf")


def convert_observed(prepared: nn.Module) -> nn.Module:
    """The INT8 network of a calibrated one, without a table in between."""
    assert isinstance(prepared, ExportedNetwork)
    with quiet():
        return ExportedNetwork(convert_pt2e(prepared.captured_graph))


def _name_observers(graph: GraphModule) -> tuple[dict[str, str], dict[str, str]]:
    """A name for every activation observer: by its module in the graph, and by the node it watches.

    The name is that of the module that computes the observed tensor and of its node in the graph.
    One observer that watches several tensors goes by the first.
    """
    names: dict[str, str] = {}
    watching: dict[str, str] = {}
    known: dict[int, str] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        observer = graph.get_submodule(node.target)
        if isinstance(observer, ActivationObserver):
            watched = node.args[0]
            name = label(watched)
            names[node.target] = watching[watched.name] = known.setdefault(id(observer), name)
    return names, watching


def _observe_weights(graph: GraphModule) -> None:
    """Show every weight to its observer, which no image does when a table has the scales."""
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(node.args[0] if node.args else None, Node):
            observer = graph.get_submodule(node.target)
            if isinstance(observer, ObserverBase) and node.args[0].op == "get_attr":
                observer(value_of(graph, node.args[0]))
