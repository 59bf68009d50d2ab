"""Which layers to leave in float: the fewest of the most sensitive with which the engine holds.

Layers are left in float in the order of their sensitivity, so that an assignment is a number. The
number is doubled until the engine's accuracy holds, then the gap behind it is halved: some ten
engines for a network of a hundred layers. Accuracy need not rise with every layer, so that a
smaller number may exist; none of those tried below the result held.
"""

from collections.abc import Callable, Sequence

from schemas.base import Target
from schemas.sensitivity import Assignment, SearchReport, Sensitivity


def fewest(holds: Callable[[int], bool], most: int) -> int | None:
    """The smallest number up to ``most`` that ``holds``, if all above one that holds do too.

    None where none of those tried holds. Each number is asked for once at most.
    """
    low, high = -1, 0
    while not holds(high):
        if high == most:
            return None
        low, high = high, min(most, max(1, 2 * high))
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def report_of(
    target: Target, bound: float, sensitivity: Sensitivity, tried: Sequence[Assignment]
) -> SearchReport:
    """What was tried, its Pareto front, and the choice: the fewest float layers that hold.

    Where none holds, the one that lost least, and of those the one with fewest float layers.
    """
    ordered = sorted(tried, key=lambda a: len(a.float_layers))
    marked = tuple(
        a.model_copy(update={"on_front": not any(_beats(b, a) for b in ordered)}) for a in ordered
    )
    within = [index for index, a in enumerate(marked) if a.within]
    chosen = (
        within[0]
        if within
        else min(range(len(marked)), key=lambda index: marked[index].accuracy.drop_points)
    )
    return SearchReport(
        target=target,
        max_drop_points=bound,
        sensitivity=sensitivity,
        assignments=marked,
        chosen=chosen,
        reached=bool(within),
    )


def _beats(one: Assignment, other: Assignment) -> bool:
    """Whether one is at least as good in both accuracy and speed, and better in one."""
    # Without a latency the number of float layers stands in for it.
    costs = [
        (a.accuracy.drop_points, len(a.float_layers) if a.median_ms is None else a.median_ms)
        for a in (one, other)
    ]
    (drop, cost), (other_drop, other_cost) = costs
    return drop <= other_drop and cost <= other_cost and (drop, cost) != (other_drop, other_cost)
