"""From contenders to figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import cause
from schemas.profiling import Latency, ProfileConfig, Ratio
from tasks.profiling.alternate import alternate
from tasks.profiling.clocks import ClockWatch
from tasks.profiling.contenders import Contender
from tasks.profiling.distribution import Times, latency_of, ratio_of
from tasks.runtimes.protocol import PhasedSession, Phases, Session, StreamedSession


@dataclass(frozen=True)
class Measured:
    """All contenders at one batch, image size and thread count."""

    latencies: tuple[Latency, ...]
    ratios: tuple[Ratio, ...]
    times_ms: dict[str, Times]
    notes: tuple[str, ...] = ()
    """A sentence for each baseline that turned out not to run."""


def measure(
    contenders: Sequence[Contender],
    batch: NDArray[np.float32],
    threads: int,
    config: ProfileConfig,
    label: str,
    watch: ClockWatch,
) -> Measured:
    """Time all contenders on ``batch``, float32[N, C, H, W], in alternating blocks.

    Ratios are of the first contender over each of the others. A baseline that fails its first call
    is left out: what it is compared with has been hours in the making.
    """
    sessions: dict[str, Session] = {}
    notes: list[str] = []
    try:
        for x in contenders:
            try:
                sessions[x.name] = x.open(threads)
                if x.is_baseline:
                    sessions[x.name].time(batch, 1)
            except Exception as error:  # whatever a compiler or a full GPU raises
                if not x.is_baseline:
                    raise
                _close(sessions.pop(x.name, None))
                notes.append(f"baseline {x.name} is left out: {cause(error)}")
        contenders = [x for x in contenders if x.name in sessions]
        shorter = frozenset(x.name for x in contenders if x.is_baseline)
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
                streamed_images_per_second=_streamed(sessions[x.name], batch, config.calls),
            )
            for x in contenders
        )
    finally:
        for session in sessions.values():
            _close(session)
    first, *others = latencies
    ratios = tuple(ratio_of(first, times[first.name], other, times[other.name]) for other in others)
    return Measured(latencies, ratios, times, tuple(notes))


def _close(session: Session | None) -> None:
    close = getattr(session, "close", None)
    if close is not None:
        close()


def _streamed(session: Session, batch: NDArray[np.float32], calls: int) -> float | None:
    return session.throughput(batch, calls) if isinstance(session, StreamedSession) else None


def _phases(session: Session, batch: NDArray[np.float32], calls: int) -> Phases | None:
    return session.time_phases(batch, calls) if isinstance(session, PhasedSession) else None
