"""Where to cut a tensor's range off, from the histogram of its magnitudes.

``counts: float64[bins]`` are how many values have a magnitude in each of equally wide bins from
zero to ``bound``. A cut-off at ``t`` maps 0..t to the integers 0..``levels`` (127 for int8) and
everything beyond to ``levels``. NumPy and not torch: these run once a tensor, on 4096 numbers.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]

CANDIDATES = 128
"""Cut-offs that a search tries, equally far apart."""


def percentile_threshold(counts: Counts, bound: float, percentile: float) -> float:
    """The smallest bin edge that ``percentile`` % of the values lie below."""
    share = np.cumsum(counts) / counts.sum()
    last = int(np.searchsorted(share, percentile / 100 * (1 - 1e-12)))
    return bound * (min(last, len(counts) - 1) + 1) / len(counts)


def mse_threshold(counts: Counts, bound: float, levels: int) -> float:
    """The cut-off at which rounding and clipping together lose the least mean square.

    Every value counts as its bin's middle. Source: Banner, Nahshan, Hoffer, Soudry, "Post training
    4-bit quantization of convolutional networks for rapid-deployment" (arXiv:1810.05723), with the
    measured histogram in place of an assumed distribution.
    """
    kept = np.flatnonzero(counts)
    values = (kept + 0.5) * (bound / len(counts))
    weights = counts[kept]
    cuts = bound * (kept[-1] + 1) / len(counts) * np.arange(1, CANDIDATES + 1) / CANDIDATES
    scales = (cuts / levels)[:, None]
    rounded = np.minimum(np.round(values / scales), levels) * scales
    losses = ((rounded - values) ** 2) @ weights
    return float(cuts[int(np.argmin(losses))])


def entropy_threshold(counts: Counts, bound: float, levels: int) -> float:
    """The cut-off whose quantized distribution tells the least apart from the clipped one.

    Kullback-Leibler divergence between the histogram up to the cut-off, with all beyond in its last
    bin, and the same on ``levels`` + 1 steps. Zeros, which every grid has exactly and which a ReLU
    makes half of all values, do not count. Source: Migacz, "8-bit inference with TensorRT" (GTC
    2017).
    """
    used = int(np.flatnonzero(counts)[-1]) + 1
    steps = levels + 1
    histogram = counts[:used].copy()
    # The first bin holds the exact zeros; its neighbour says how many values near zero there are.
    histogram[0] = histogram[1] if used > 1 else histogram[0]
    if used <= steps or histogram.sum() == 0:
        return bound * used / len(counts)
    best, least = used, np.inf
    for cut in np.unique(np.linspace(steps, used, CANDIDATES).astype(int)).tolist():
        divergence = _divergence(histogram, cut, steps)
        if divergence < least:
            best, least = cut, divergence
    return bound * best / len(counts)


def _divergence(histogram: Counts, cut: int, steps: int) -> float:
    """KL(P, Q) in nats: P clipped at ``cut`` bins, Q the unclipped part on ``steps`` steps."""
    inside = histogram[:cut]
    clipped = inside.copy()
    clipped[-1] += histogram[cut:].sum()
    step = np.arange(cut) * steps // cut
    filled = inside > 0
    totals = np.bincount(step, weights=inside, minlength=steps)
    occupied = np.bincount(step, weights=filled, minlength=steps)
    quantized = np.where(filled, totals[step] / np.maximum(occupied[step], 1), 0.0)
    if not quantized.any():
        return float("inf")
    p, q = clipped / clipped.sum(), quantized / quantized.sum()
    # A bin that only the clipped tail fills has no counterpart: a millionth stands for nothing.
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-6))))
