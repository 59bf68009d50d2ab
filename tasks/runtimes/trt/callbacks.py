"""What TensorRT calls back: a logger and a progress monitor.

Both classes derive from a class of the module that is passed in, so they are made when needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.runtimes.trt.module import TensorRtModule

if TYPE_CHECKING:
    import tensorrt

_ERRORS = ("ERROR", "INTERNAL_ERROR")


@dataclass
class BuildLog:
    """What TensorRT said: its errors, and its last table of layers."""

    errors: list[str] = field(default_factory=list)
    layers: str = ""

    def add(self, severity: str, message: str) -> None:
        if severity in _ERRORS:
            self.errors.append(message)
        elif message.startswith("Layers:"):
            self.layers = message

    def first_error(self) -> str:
        return self.errors[0] if self.errors else "it gave no reason"


def logger(trt: TensorRtModule, log: BuildLog) -> "tensorrt.ILogger":
    """A logger at the level VERBOSE that keeps in ``log`` what counts."""

    def init(self: Any) -> None:
        trt.ILogger.__init__(self)

    def write(_self: Any, severity: Any, message: str) -> None:
        log.add(severity.name, message)

    made: tensorrt.ILogger = type("Logger", (trt.ILogger,), {"__init__": init, "log": write})()
    return made


@dataclass
class _Phase:
    name: str
    steps: int
    done: int = 0


class Fraction:
    """How much of nested phases is done, as one number that never falls."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._phases: list[_Phase] = []
        self._highest = 0.0

    def start(self, name: str, steps: int) -> None:
        self._phases.append(_Phase(name, max(steps, 1)))

    def step(self, name: str) -> None:
        for phase in self._phases:
            if phase.name == name:
                phase.done = min(phase.done + 1, phase.steps)
        share, total = 1.0, 0.0
        for phase in self._phases:
            share /= phase.steps
            total += share * phase.done
        if total > self._highest:
            self._highest = min(total, 1.0)
            self._report(self._highest)

    def finish(self, name: str) -> None:
        self._phases = [phase for phase in self._phases if phase.name != name]


def progress_monitor(
    trt: TensorRtModule, report: Callable[[float], None]
) -> "tensorrt.IProgressMonitor":
    """A monitor that calls ``report`` with the fraction of the build that is done, 0 to 1."""
    fraction = Fraction(report)

    def init(self: Any) -> None:
        trt.IProgressMonitor.__init__(self)

    def phase_start(_self: Any, name: str, _parent: str | None, steps: int) -> None:
        fraction.start(name, steps)

    def step_complete(_self: Any, name: str, _step: int) -> bool:
        fraction.step(name)
        return True

    def phase_finish(_self: Any, name: str) -> None:
        fraction.finish(name)

    methods = {
        "__init__": init,
        "phase_start": phase_start,
        "step_complete": step_complete,
        "phase_finish": phase_finish,
    }
    made: tensorrt.IProgressMonitor = type("Monitor", (trt.IProgressMonitor,), methods)()
    return made
