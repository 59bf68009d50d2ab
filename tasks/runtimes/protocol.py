"""What every engine can do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from schemas.base import Strict, Target
from schemas.engine import LayerTable, Manifest, TensorInfo


@dataclass(frozen=True)
class Build:
    """What is known of a plan once it is built."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layers: LayerTable
    build_s: float
    peak_memory_bytes: int | None
    unquantized_nodes: tuple[str, ...] = ()


class Session(Protocol):
    """A loaded network, ready to be called."""

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``float32[N, classes]`` of images ``float32[N, C, H, W]``."""
        ...

    def time(self, batch: NDArray[np.float32], calls: int) -> NDArray[np.float64]:
        """Milliseconds of each of ``calls`` calls: ``float64[calls]``."""
        ...


def _absent() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True)
class Phases:
    """Milliseconds of each call's parts, ``float64[calls]`` each; empty where there is none.

    ``h2d`` and ``d2h`` are the copies to the GPU and back, ``compute`` what lies between them, all
    three by the GPU's own clock. ``enqueue`` is how long the CPU took to queue them. On a CPU there
    is ``compute`` alone: what the engine says its own code took, without the way there from Python.
    """

    compute: NDArray[np.float64]
    h2d: NDArray[np.float64] = field(default_factory=_absent)
    d2h: NDArray[np.float64] = field(default_factory=_absent)
    enqueue: NDArray[np.float64] = field(default_factory=_absent)


@runtime_checkable
class PhasedSession(Session, Protocol):
    """A session that can tell the parts of its calls apart."""

    def time_phases(self, batch: NDArray[np.float32], calls: int) -> Phases:
        """What the parts of ``calls`` calls take; these are other calls than :meth:`time`'s."""
        ...


@runtime_checkable
class StreamedSession(Session, Protocol):
    """A session that can have several inferences under way."""

    def throughput(self, batch: NDArray[np.float32], calls: int) -> float:
        """Images a second over ``calls`` calls that do not wait for each other's answers."""
        ...


@runtime_checkable
class OverlappedSession(Session, Protocol):
    """A session that computes one batch while the next is made ready: on a GPU."""

    def infer_many(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Logits of each batch in turn, as of :meth:`infer`."""
        ...


class Runtime(Protocol):
    """An engine: compiles ONNX graphs into plans, and loads plans."""

    @property
    def target(self) -> Target: ...

    def fingerprint(self) -> dict[str, str]:
        """Whatever a plan depends on besides its graph: versions, processor or GPU, driver.

        Part of the cache key, so cheap: it imports no framework. Raises InputError where the
        engine is not installed.
        """
        ...

    def check(self, manifest: Manifest) -> None:
        """Raises InputError where the plan of ``manifest`` was built for something else."""
        ...

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:
        """Compile the ONNX file ``graph`` and write ``plan``."""
        ...

    def cannot_run(self) -> str | None:
        """Why this machine cannot run the engine's plans; None where it can."""
        ...

    def open(self, plan: Path, *, threads: int = 0, manifest: Manifest | None = None) -> Session:
        """Load a plan; ``threads`` 0 stands for all. Raises InputError where it cannot run here.

        ``manifest`` is the plan's, where there is one: how it was built may say how to load it.
        """
        ...
