"""How much of a drop in accuracy is noise: the same images are answered twice, so they are paired.

Only the images on which the two networks differ in being right count: ``lost`` were right before
and are wrong now, ``won`` the other way round.
"""

import math

Z_95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


def mcnemar_p(lost: int, won: int) -> float:
    """How probable a split at least as uneven is if nothing was lost: McNemar's exact test.

    Two-sided binomial probability, 0 to 1. Source: McNemar, "Note on the sampling error of the
    difference between correlated proportions or percentages" (Psychometrika 12, 1947).
    """
    changed, fewer = lost + won, min(lost, won)
    if not changed:
        return 1.0
    ways = [
        math.lgamma(changed + 1) - math.lgamma(k + 1) - math.lgamma(changed - k + 1)
        for k in range(fewer + 1)
    ]
    tail = sum(math.exp(way - changed * math.log(2)) for way in ways)
    return min(1.0, 2 * tail)


def drop_interval(lost: int, won: int, images: int) -> tuple[float, float]:
    """The 95 % interval, in percentage points, of the drop ``(lost - won) / images``.

    Score interval: the drops that McNemar's statistic would not reject. Unlike a bootstrap it stays
    honest where no image changed: 0 of 300 still leaves room for 1.3 points. Source: Tango,
    "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design" (Statistics in Medicine 17, 1998).
    """
    drop = (lost - won) / images
    low = _solve(lost, won, images, -1.0, drop, Z_95)
    high = _solve(lost, won, images, drop, 1.0, -Z_95)
    return 100 * low, 100 * high


def _solve(lost: int, won: int, images: int, low: float, high: float, wanted: float) -> float:
    """The drop between two bounds at which the statistic, which falls with it, is ``wanted``."""
    for _ in range(60):
        middle = (low + high) / 2
        if _statistic(lost, won, images, middle) > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _statistic(lost: int, won: int, images: int, drop: float) -> float:
    """Standard deviations between what was seen and a true drop."""
    a = 2.0 * images
    b = (2 * images - lost + won) * drop - lost - won
    c = -won * drop * (1 - drop)
    share_won = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = images * (2 * share_won + drop * (1 - drop))
    difference = lost - won - images * drop
    if variance <= 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / math.sqrt(variance)
