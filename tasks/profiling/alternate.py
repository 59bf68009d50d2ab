"""Timing contenders against each other in one process.

Each has its turn for a block of calls, round after round, so that drifts of the machine hit all of
them alike. Blocks and not single calls: alternating single calls evicts the caches, and measures
that instead.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.profiling import Latency, ProfileConfig, Speedup
from tasks.progress import track
from tasks.runtimes.protocol import Session

BOOTSTRAP_DRAWS = 2000


def alternate(
    contenders: Mapping[str, Session], batch: NDArray[np.float32], config: ProfileConfig, label: str
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of every measured call, float64[rounds, calls], by contender.

    ``batch`` is float32[N, C, H, W].
    """
    blocks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in contenders}
    for _ in track(range(config.rounds), label, config.rounds):
        for name, session in contenders.items():
            session.time(batch, config.warmup_calls)
            blocks[name].append(session.time(batch, config.calls))
    return {name: np.stack(rounds) for name, rounds in blocks.items()}


def latency_of(
    name: str, precision: str, threads: int, batch_size: int, times_ms: NDArray[np.float64]
) -> Latency:
    """The distribution of float64[rounds, calls] milliseconds."""
    flat = times_ms.ravel()
    p50, p90, p95, p99 = np.percentile(flat, [50, 90, 95, 99])
    return Latency(
        name=name,
        precision=precision,
        threads=threads,
        batch_size=batch_size,
        calls=flat.size,
        min_ms=float(flat.min()),
        mean_ms=float(flat.mean()),
        median_ms=float(p50),
        p90_ms=float(p90),
        p95_ms=float(p95),
        p99_ms=float(p99),
        images_per_second=float(batch_size * 1000 / p50),
    )


def speedup_of(
    engine: str, threads: int, int8_ms: NDArray[np.float64], float32_ms: NDArray[np.float64]
) -> Speedup:
    """FP32's median over INT8's, with a bootstrap interval over the rounds (Efron, 1979).

    Both are float64[rounds, calls]; a round's two blocks are drawn together, as they ran together.
    """
    int8_rounds, float_rounds = np.median(int8_ms, axis=1), np.median(float32_ms, axis=1)
    draws = np.random.default_rng(0).integers(
        len(int8_rounds), size=(BOOTSTRAP_DRAWS, len(int8_rounds))
    )
    ratios = np.median(float_rounds[draws], axis=1) / np.median(int8_rounds[draws], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Speedup(
        engine=engine,
        threads=threads,
        ratio=float(np.median(float32_ms) / np.median(int8_ms)),
        ratio_low=float(low),
        ratio_high=float(high),
    )
