"""A build against the last good build of its job."""

from collections.abc import Iterator, Sequence

from schemas.base import Gate
from schemas.history import BuildRecord, EngineFigures, RegressionConfig, StageRecord
from schemas.profiling import Speedup, threads_of
from tasks.history.changes import explain, upstream

TINY = 1e-9
"""What thresholds are compared with, since 0.9395 - 0.9365 is not quite 0.003."""


def regressions(
    before: BuildRecord,
    engines: Sequence[EngineFigures],
    stages: Sequence[StageRecord],
    versions: dict[str, str],
    config: RegressionConfig,
) -> tuple[Gate, ...]:
    """A failed gate for each figure that fell behind, naming the stage and what changed there.

    What did not fall behind gives no gate, so that a build like the one before has the same report.
    """
    earlier = {figures.engine: figures for figures in before.engines}
    gates = []
    for now in engines:
        was = earlier.get(now.engine)
        if was is None:
            continue
        for figure, text, origins in _losses(was, now, stages, config):
            cause = explain(before, origins, versions)
            detail = f"{text}, against build {before.sequence}; {cause}"
            name = f"regression: {now.engine} {figure}"
            gates.append(Gate(name=name, passed=False, detail=detail))
    return tuple(gates)


def _losses(
    was: EngineFigures,
    now: EngineFigures,
    stages: Sequence[StageRecord],
    config: RegressionConfig,
) -> Iterator[tuple[str, str, list[StageRecord]]]:
    """What fell behind: the figure, its story, and the stages that it came from."""
    plan = upstream(stages, {now.plan_sha256})
    # Where one delivers INT8 and the other FP32, the job's gates say what that may lose: compared
    # is the FP32 network.
    alike = was.delivered == now.delivered
    old_top1, top1 = (x.top1 if alike else _float32_top1(x) for x in (was, now))
    # Top-1 on other images is another figure: accuracy.images was changed in between.
    if old_top1 is not None and top1 is not None and was.images == now.images:
        lost = 100 * (old_top1 - top1)
        if lost > config.max_top1_loss_points + TINY:
            yield (
                "top-1" if alike else "FP32 top-1",
                f"{old_top1:.4f} -> {top1:.4f} (at most {config.max_top1_loss_points:g} points "
                "may be lost)",
                _with_users(stages, now, "evaluate"),
            )
    # So is a speed at another batch size: profile.batch_size was.
    if was.machine == now.machine and was.batch_size in (None, now.batch_size):
        for speedup in now.speedups:
            old = _same_threads(was.speedups, speedup)
            if old is not None and _slower(old, speedup, config.max_speedup_loss):
                yield (
                    f"speed on {threads_of(speedup.threads)}",
                    f"{old.ratio:.2f}x -> {speedup.ratio:.2f}x of FP32 in the same run (at most "
                    f"{config.max_speedup_loss:.0%} may be lost)",
                    _with_users(stages, now, "profiling"),
                )
    if not alike:
        return
    for name, old_count, count, allowed in (
        ("plan size", was.plan_bytes, now.plan_bytes, config.max_size_growth),
        ("kernels", was.kernels, now.kernels, config.max_kernel_growth),
    ):
        if count > old_count * (1 + allowed) + TINY:
            yield name, f"{old_count:,} -> {count:,} (at most {allowed:.0%} more)", plan


def _float32_top1(figures: EngineFigures) -> float | None:
    if figures.top1 is None or figures.drop_points is None:
        return None
    return figures.top1 + figures.drop_points / 100


def _with_users(
    stages: Sequence[StageRecord], now: EngineFigures, folder: str
) -> list[StageRecord]:
    """What a figure came from: the engine's plan, and the stages of a folder that used it."""
    made = {
        digest
        for stage in stages
        if stage.stage == folder and now.plan_sha256 in stage.inputs.values()
        for digest in stage.outputs.values()
    }
    return upstream(stages, {now.plan_sha256} | made)


def _same_threads(speedups: Sequence[Speedup], like: Speedup) -> Speedup | None:
    return next((x for x in speedups if x.threads == like.threads), None)


def _slower(was: Speedup, now: Speedup, allowed: float) -> bool:
    """Whether even the favourable ends of both intervals are further apart than allowed."""
    return now.ratio_high < was.ratio_low * (1 - allowed)
