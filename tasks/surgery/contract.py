"""What a pass promises."""

from dataclasses import dataclass, field
from typing import Protocol

import onnx_graphsurgeon as gs


class PassError(Exception):
    """A pass broke its own promise: a defect of the pass, never of the graph it was given."""


@dataclass
class Changes:
    """What a pass did, and what it left alone though it looked like its business."""

    changed: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, node: str, why: str) -> None:
        self.skipped.append((node, why))


class Pass(Protocol):
    """One repair.

    ``keeps_values``: the graph's outputs are bit-equal before and after, in ONNX Runtime with
    its optimizations off. After the contract of the pass infrastructure of onnx/ir-py.
    """

    @property
    def name(self) -> str: ...

    @property
    def keeps_values(self) -> bool: ...

    def requires(self, graph: gs.Graph) -> str | None:
        """Why the pass cannot run on this graph; None where it can."""
        ...

    def apply(self, graph: gs.Graph) -> Changes:
        """Change the graph in place."""
        ...

    def ensures(self, graph: gs.Graph) -> str | None:
        """What the pass should have achieved and did not; None where it did."""
        ...
