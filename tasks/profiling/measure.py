"""From contenders to figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.profiling import Latency, ProfileConfig, Ratio
from tasks.profiling.alternate import alternate
from tasks.profiling.clocks import ClockWatch
from tasks.profiling.contenders import Contender
from tasks.profiling.distribution import Times, latency_of, ratio_of
from tasks.runtimes.protocol import PhasedSession, Phases, Session


@dataclass(frozen=True)
class Measured:
    """All contenders at one batch, image size and thread count."""

    latencies: tuple[Latency, ...]
    ratios: tuple[Ratio, ...]
    times_ms: dict[str, Times]


def measure(
    contenders: Sequence[Contender],
    batch: NDArray[np.float32],
    threads: int,
    config: ProfileConfig,
    label: str,
    watch: ClockWatch,
) -> Measured:
    """Time all contenders on ``batch``, float32[N, C, H, W], in alternating blocks.

    Ratios are of the first contender over each of the others.
    """
    sessions: dict[str, Session] = {x.name: x.open(threads) for x in contenders}
    shorter = frozenset(x.name for x in contenders if x.is_baseline)
    try:
        times = alternate(sessions, batch, config, label, shorter=shorter, between=watch.sample)
        watch.sample()
        size = (batch.shape[2], batch.shape[3])
        latencies = tuple(
            latency_of(
                x.name,
                x.precision,
                threads,
                len(batch),
                times[x.name],
                image_size_px=size,
                phases=_phases(sessions[x.name], batch, config.calls),
            )
            for x in contenders
        )
    finally:
        for session in sessions.values():
            close = getattr(session, "close", None)
            if close is not None:
                close()
    first, *others = latencies
    ratios = tuple(ratio_of(first, times[first.name], other, times[other.name]) for other in others)
    return Measured(latencies, ratios, times)


def _phases(session: Session, batch: NDArray[np.float32], calls: int) -> Phases | None:
    return session.time_phases(batch, calls) if isinstance(session, PhasedSession) else None
