"""Two finished runs side by side."""

from typing import Literal

from pydantic import Field

from schemas.base import Strict, Target
from schemas.engine import LayerPair
from schemas.surgery import GraphDiff


class RunSide(Strict):
    """Which run, and how it ended."""

    name: str = Field(description="as it was asked for, such as quickstart or quickstart@3")
    label: str = Field(description="the same in a few letters, for the heads of columns")
    job: str
    passed: bool
    failed: tuple[str, ...] = Field(description="the gates that did not hold")
    machine: str | None = Field(description="where its engines were timed; None: not timed")
    images: int = Field(description="test images that its accuracy was measured on")


class Change(Strict):
    """Something that is one value in the left run and another in the right; None: it has none."""

    name: str
    left: str | None
    right: str | None


class Interval(Strict):
    """A figure with its 95 % interval, where one was taken."""

    value: float
    low: float | None = None
    high: float | None = None


class Figure(Strict):
    """One figure of both runs, as each measured it against its own baseline."""

    name: str = Field(description="such as 'top-1' or 'INT8 over FP32, 1 thread'")
    unit: Literal["", "points", "times", "ms", "MB", "s"]
    left: Interval | None = Field(description="None: the run does not have it")
    right: Interval | None

    @property
    def apart(self) -> bool | None:
        """Whether the intervals are apart; None where a side has none: then it is not known."""
        if self.left is None or self.right is None:
            return None
        (a, b), (c, d) = (self.left.low, self.left.high), (self.right.low, self.right.high)
        if a is None or b is None or c is None or d is None:
            return None
        return b < c or d < a


class LayerRow(Strict):
    """Kernels of the two INT8 plans that compute the same ONNX nodes."""

    pair: LayerPair
    left_share: float | None = Field(
        description="of the time of its own run's layers; None: not timed"
    )
    right_share: float | None
    same: bool = Field(description="the same kinds of kernels on the same types of data")


class EngineComparison(Strict):
    """One engine that both runs, or one of them, built."""

    target: Target
    figures: tuple[Figure, ...]
    graph: GraphDiff | None = Field(description="of the repaired graphs; None: graph_note says why")
    graph_note: str = ""
    layers: tuple[LayerRow, ...] = Field(description="empty where only one run built the engine")
    layers_note: str = Field(default="", description="how they were matched, if not by node")


class Comparison(Strict):
    """What is different between two runs, and what to know before comparing their figures."""

    left: RunSide
    right: RunSide
    cautions: tuple[str, ...]
    config: tuple[Change, ...] = Field(description="fields of the job")
    environment: tuple[Change, ...] = Field(description="versions, processors, drivers")
    gates: tuple[Change, ...] = Field(description="those that are in one run only or ended apart")
    modules: tuple[Change, ...] = Field(
        description="those of both networks that are INT8 in one run and float in the other"
    )
    accuracy: tuple[Figure, ...] = Field(description="every form of the network")
    engines: tuple[EngineComparison, ...]
