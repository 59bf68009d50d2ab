"""What a pass promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import onnx_graphsurgeon as gs

from tasks.surgery.graph import sweep


class PassError(Exception):
    """A pass broke its own promise: a defect of the pass, never of the graph it was given."""


@dataclass
class Changes:
    """What a pass did, and what it left alone though it looked like its business."""

    changed: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, node: str, why: str) -> None:
        self.skipped.append((node, why))


class Pass(ABC):
    """One repair.

    ``keeps_values``: the graph's outputs are bit-equal before and after, in ONNX Runtime with
    its optimizations off. After the contract of the pass infrastructure of onnx/ir-py.
    """

    name: ClassVar[str]
    keeps_values: ClassVar[bool]

    def requires(self, graph: gs.Graph) -> str | None:  # noqa: ARG002
        """Why the pass cannot run on this graph; None where it can."""
        return None

    @abstractmethod
    def change(self, graph: gs.Graph, changes: Changes) -> None:
        """Rewire the graph in place and write down what was done; dead nodes may stay behind."""

    def apply(self, graph: gs.Graph) -> Changes:
        """Change the graph in place, and drop the nodes that nothing reads any more."""
        changes = Changes()
        self.change(graph, changes)
        sweep(graph)
        return changes

    def left(self, graph: gs.Graph) -> Sequence[str]:  # noqa: ARG002
        """Names of what the pass should have changed and did not."""
        return ()

    def ensures(self, graph: gs.Graph) -> str | None:
        """What the pass should have achieved and did not; None where it did."""
        left = self.left(graph)
        return f"left as they were: {', '.join(left[:3])}" if left else None
