"""The learning rate as a function of the step, so that a resumed run needs no schedule's state."""

import math


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The learning rate of ``step`` (from 0) of ``steps``: up to ``peak``, then down to near zero.

    Cosine up from peak/25 over the first quarter, cosine down to peak/10,000 over the rest.
    Source: Smith, Topin, "Super-Convergence" (arXiv:1708.07120).
    """
    start, end = peak / 25, peak / 1e4
    rising = max(1, round(steps * 0.25))
    if step < rising:
        return _cosine(start, peak, step / rising)
    return _cosine(peak, end, (step - rising) / max(1, steps - 1 - rising))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
