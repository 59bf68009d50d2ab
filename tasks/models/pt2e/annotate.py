"""The placement in torchao's words."""

from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

from schemas.convert import QuantizationConfig
from tasks.models.pt2e.capture import module_of
from tasks.models.pt2e.fold import TRANSPOSED
from tasks.models.pt2e.observers import ActivationObserver, activation_spec, weight_spec
from tasks.models.pt2e.placement import PRODUCTS, WEIGHTED, Edge, Placement, is_constant, place
from tasks.models.selection import Selection


class TensorRTQuantizer(Quantizer):  # type: ignore[misc]
    """torchao's Quantizer for TensorRT: int8, symmetric, +-127, placed by NVIDIA's rules."""

    def __init__(self, selection: Selection, config: QuantizationConfig) -> None:
        super().__init__()
        self._selection = selection
        self._config = config
        self.placement = Placement()

    def annotate(self, model: GraphModule) -> GraphModule:
        """Say of every node which inputs, and whether its output, get quantizers."""
        self.placement = place(model, self._selection)
        for node, tensors in self.placement.inputs.items():
            written = self._activation(node) if node in self.placement.outputs else None
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map={tensor: self._spec(tensor, node) for tensor in tensors},
                output_qspec=written,
                _annotated=True,
            )
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to check: the placement is made from the graph itself."""

    def prepare_obs_or_fq_callback(
        self,
        model: GraphModule,  # noqa: ARG002
        edge_or_node_to_obs_or_fq: dict[Edge | Node, ActivationObserver],
    ) -> None:
        """Give tensors that need one scale one observer, groups with a common member included."""
        observers = edge_or_node_to_obs_or_fq
        chosen: dict[int, ActivationObserver] = {}

        def final(observer: ActivationObserver) -> ActivationObserver:
            while id(observer) in chosen:
                observer = chosen[id(observer)]
            return observer

        everyone = list(observers.values())  # Keeps all alive, so that ids stay unique.
        for group in self.placement.alike:
            first = final(observers[group[0]])
            for member in group[1:]:
                other = final(observers[member])
                if other is not first:
                    chosen[id(other)] = first
        for place_, observer in zip(list(observers), everyone, strict=True):
            observers[place_] = final(observer)

    def _activation(self, tensor: Node) -> QuantizationSpec:
        return activation_spec(self._selection.observer(module_of(tensor)), self._config)

    def _spec(self, tensor: Node, reader: Node) -> QuantizationSpec:
        if not is_constant(tensor):
            return self._activation(tensor)
        if reader.target in TRANSPOSED:
            groups = reader.args[6] if len(reader.args) > 6 else reader.kwargs.get("groups", 1)
            return weight_spec(1 if groups == 1 else None, self._config)
        if reader.target in PRODUCTS:
            return weight_spec(None, self._config)
        return weight_spec(0, self._config)


def execution_order(graph: GraphModule) -> list[str]:
    """The convolution and linear modules of a graph, in the order in which they run."""
    return [
        module_of(node)
        for node in graph.graph.nodes
        if node.op == "call_function" and node.target in WEIGHTED
    ]
