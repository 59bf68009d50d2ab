"""An exported graph as a module like any other."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn
from torch.fx import GraphModule


class ExportedNetwork(nn.Module):
    """Wraps a graph that was captured in evaluation mode, and stays in it.

    ``observer_names`` are the names that scales have in a table, by the observer's module in the
    graph, and ``watched`` by the node that is observed; ``scales`` are those that an INT8 network
    was made with, by these names.
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
        self.exported = graph
        self.observer_names = dict(observer_names)
        self.watched = dict(watched)
        self.scales = dict(scales)
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32[N, classes] of images float32[N, C, H, W]."""
        logits: Tensor = self.exported(images)
        return logits

    def train(self, mode: bool = True) -> "ExportedNetwork":  # noqa: ARG002
        """Does nothing: dropout and batch statistics are no part of the graph any more."""
        return self
