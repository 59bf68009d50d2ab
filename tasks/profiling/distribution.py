"""Figures of measured times."""

import numpy as np
from numpy.typing import NDArray

from schemas.profiling import QUANTILES, Latency, PhaseLatency, Ratio, Speedup
from tasks.runtimes.protocol import Phases

BOOTSTRAP_DRAWS = 2000
_PARTS = ("h2d", "compute", "d2h", "enqueue")
Times = NDArray[np.float64]


def latency_of(
    name: str,
    precision: str,
    threads: int,
    batch_size: int,
    times_ms: Times,
    *,
    image_size_px: tuple[int, int] | None = None,
    phases: Phases | None = None,
    streamed_images_per_second: float | None = None,
) -> Latency:
    """The distribution of float64[rounds, calls] milliseconds."""
    figures = _spread(times_ms)
    parts = {} if phases is None else {x: getattr(phases, x) for x in _PARTS}
    return Latency(
        name=name,
        precision=precision,
        threads=threads,
        batch_size=batch_size,
        image_size_px=image_size_px,
        calls=times_ms.size,
        coefficient_of_variation=float(times_ms.std() / times_ms.mean()),
        images_per_second=batch_size * 1000 / figures["median_ms"],
        streamed_images_per_second=streamed_images_per_second,
        quantiles_ms=tuple(np.percentile(times_ms, QUANTILES).round(6).tolist()),
        phases=tuple(
            PhaseLatency.model_validate({"phase": part, **_spread(of_part)})
            for part, of_part in parts.items()
            if of_part.size
        ),
        **figures,
    )


def speedup_of(engine: str, threads: int, int8_ms: Times, float32_ms: Times) -> Speedup:
    """FP32's median over INT8's; both are float64[rounds, calls]."""
    ratio, low, high = ratio_with_interval(int8_ms, float32_ms)
    return Speedup(engine=engine, threads=threads, ratio=ratio, ratio_low=low, ratio_high=high)


def ratio_of(of: Latency, of_ms: Times, over: Latency, over_ms: Times) -> Ratio:
    """One contender over another, of one block of alternating turns."""
    ratio, low, high = ratio_with_interval(of_ms, over_ms)
    assert of.image_size_px is not None
    return Ratio(
        of=of.name,
        over=over.name,
        threads=of.threads,
        batch_size=of.batch_size,
        image_size_px=of.image_size_px,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
    )


def ratio_with_interval(of_ms: Times, over_ms: Times) -> tuple[float, float, float]:
    """How many times as fast ``of`` is, and a 95 % bootstrap interval over the rounds.

    Both are float64[rounds, any number of calls]. A block counts by its median, and the ratio is of
    the medians of those, so that the interval is the same figure's; a round's two blocks are drawn
    together, as they ran together. Source: Efron, "Bootstrap methods" (1979).
    """
    of_rounds, over_rounds = np.median(of_ms, axis=1), np.median(over_ms, axis=1)
    rounds = len(of_rounds)
    draws = np.random.default_rng(0).integers(rounds, size=(BOOTSTRAP_DRAWS, rounds))
    ratios = np.median(over_rounds[draws], axis=1) / np.median(of_rounds[draws], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    ratio = np.median(over_rounds) / np.median(of_rounds)
    return float(ratio), float(low), float(high)


def _spread(times_ms: Times) -> dict[str, float]:
    flat = times_ms.ravel()
    p50, p90, p95, p99 = np.percentile(flat, [50, 90, 95, 99])
    return {
        "min_ms": float(flat.min()),
        "mean_ms": float(flat.mean()),
        "median_ms": float(p50),
        "p90_ms": float(p90),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
    }
