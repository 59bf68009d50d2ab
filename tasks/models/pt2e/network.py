"""An exported graph as a module like any other."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn
from torch.fx import GraphModule


class ExportedNetwork(nn.Module):
    """Wraps a graph that was captured in evaluation mode, and stays in it.

    ``observer_names`` are the names that scales have in a table, by the observer's module in the
    graph, and ``watched`` by the node that is observed; ``scales`` are those that an INT8 network
    was made with, by these names. Observers are found under their names among the modules.
    """

    def __init__(
        self,
        graph: GraphModule,
        observer_names: Mapping[str, str] = MappingProxyType({}),
        watched: Mapping[str, str] = MappingProxyType({}),
        *,
        scales: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        for target, name in observer_names.items():
            _put(self, name, graph.get_submodule(target))
        self.captured_graph = graph
        self.observer_names = dict(observer_names)
        self.watched = dict(watched)
        self.scales = dict(scales)
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32[N, classes] of images float32[N, C, H, W]."""
        logits: Tensor = self.captured_graph(images)
        return logits

    def train(self, mode: bool = True) -> "ExportedNetwork":  # noqa: ARG002
        """Does nothing: dropout and batch statistics are no part of the graph any more."""
        return self


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    """Let ``network`` have ``module`` under a dotted name as well."""
    *path, last = name.split(".")
    for part in path:
        if part not in dict(network.named_children()):
            network.add_module(part, nn.Module())
        network = network.get_submodule(part)
    network.add_module(last, module)
