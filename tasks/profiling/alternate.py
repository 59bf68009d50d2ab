"""Timing contenders against each other in one process.

Each has its turn for a block of calls, round after round, so that drifts of the machine hit all of
them alike. Blocks and not single calls: alternating single calls evicts the caches, and measures
that instead.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.profiling import ProfileConfig
from tasks.progress import track
from tasks.runtimes.protocol import Session


def alternate(
    contenders: Mapping[str, Session],
    batch: NDArray[np.float32],
    config: ProfileConfig,
    label: str,
    *,
    shorter: frozenset[str] = frozenset(),
    between: Callable[[], object] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of every measured call, float64[rounds, calls], by contender.

    ``batch`` is float32[N, C, H, W]. Contenders named in ``shorter`` have a third of the calls.
    ``between`` is called before each round.
    """
    blocks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in contenders}
    for _ in _rounds(config, label):
        if between is not None:
            between()
        for name, session in contenders.items():
            share = 3 if name in shorter else 1
            session.time(batch, -(-config.warmup_calls // share))
            blocks[name].append(session.time(batch, -(-config.calls // share)))
    return {name: np.stack(rounds) for name, rounds in blocks.items()}


def _rounds(config: ProfileConfig, label: str) -> Iterator[int]:
    """The rounds asked for, and more until the duration asked for is over."""
    started = time.monotonic()
    yield from track(range(config.rounds), label, config.rounds)
    for number in itertools.count(config.rounds):
        if config.duration_s is None or time.monotonic() - started >= config.duration_s:
            return
        yield number
