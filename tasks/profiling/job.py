"""A job's profile: the engine first, then its FP32 engine, then the baselines."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.artifact import ArtifactRef
from schemas.base import Target
from schemas.data import DataConfig
from schemas.engine import EngineResult
from schemas.errors import InputError
from schemas.profiling import (
    Latency,
    LatencyReport,
    ProfileConfig,
    ProfileSources,
    Ratio,
    Speedup,
    SweepConfig,
)
from tasks.artifacts.store import Store
from tasks.datasets.open import open_dataset
from tasks.profiling.baselines import baseline_contenders
from tasks.profiling.clocks import ClockWatch, moved_note, require_steady
from tasks.profiling.contenders import Contender, graph_contender, plan_contender
from tasks.profiling.distribution import speedup_of
from tasks.profiling.machine import describe_machine
from tasks.profiling.measure import measure
from tasks.profiling.resize import graph_at_size

if TYPE_CHECKING:
    from torch import nn

ON_GPU: tuple[Target, ...] = ("tensorrt", "tensorrt_rtx")


def profile_job(
    store: Store,
    target: Target,
    int8: EngineResult,
    float32: EngineResult,
    sources: ProfileSources,
    data: DataConfig,
    config: ProfileConfig,
) -> LatencyReport:
    """Measure everything that ``config`` asks for.

    Raises InputError where steady clocks are demanded and were not.
    """
    watch = ClockWatch(on_gpu=target in ON_GPU)
    engines = [
        plan_contender(f"{target} {precision}", precision, target, store.open(result.plan))
        for precision, result in (("int8", int8), ("float32", float32))
    ]
    images = _images(data, config.batch_size)
    latencies: list[Latency] = []
    ratios: list[Ratio] = []
    speedups: list[Speedup] = []
    with store.workspace() as folder:
        baselines, notes = baseline_contenders(
            config.baselines,
            _network(store, sources),
            store.open(sources.float32_graph),
            folder,
            on_gpu=target in ON_GPU,
        )
        taken = {x.name for x in engines}
        contenders = [*engines, *(x for x in baselines if x.name not in taken)]
        for threads in config.threads:
            label = f"profile {target}, {threads or 'all'} threads"
            found = measure(contenders, images, threads, config, label, watch)
            latencies += found.latencies
            ratios += found.ratios
            ours, theirs = (found.times_ms[x.name] for x in engines)
            speedups.append(speedup_of(target, threads, ours, theirs))
        swept: list[Latency] = []
        if config.sweep is not None:
            swept, more = _sweep(
                store, target, engines, sources, data, config, config.sweep, watch, folder
            )
            notes += more
    clocks = watch.report()
    if config.steady_clocks == "require":
        require_steady(clocks)
    if clocks is not None and clocks.moved:
        notes.append(moved_note(clocks))
    return LatencyReport(
        machine=describe_machine(),
        latencies=tuple(latencies),
        speedups=tuple(speedups),
        ratios=tuple(ratios),
        sweep=tuple(swept),
        clocks=clocks,
        notes=tuple(notes),
    )


def _sweep(
    store: Store,
    target: Target,
    engines: list[Contender],
    sources: ProfileSources,
    data: DataConfig,
    config: ProfileConfig,
    sweep: SweepConfig,
    watch: ClockWatch,
    folder: Path,
) -> tuple[list[Latency], list[str]]:
    """INT8 and FP32 at every batch and image size, with the first thread count."""
    own = _images(data, 1)
    fewer = config.model_copy(update={"rounds": sweep.rounds, "duration_s": None})
    latencies: list[Latency] = []
    notes: list[str] = []
    for size in sweep.image_sizes_px or (None,):
        try:
            pair = engines
            if size is not None and own.shape[2:] != (size, size):
                graphs = (sources.int8_graph, sources.float32_graph)
                pair = [
                    _at_size(store, engine, target, graph, size, folder)
                    for engine, graph in zip(engines, graphs, strict=True)
                ]
            for batch_size in sweep.batch_sizes:
                images = _images(data, batch_size, size)
                label = f"sweep {target}, {batch_size} of {images.shape[2]} px"
                found = measure(pair, images, config.threads[0], fewer, label, watch)
                latencies += found.latencies
        except InputError as error:
            notes.append(f"the sweep leaves out {size or own.shape[2]} px: {error}")
    return latencies, notes


def _at_size(
    store: Store, engine: Contender, target: Target, graph: ArtifactRef, size: int, folder: Path
) -> Contender:
    place = folder / f"{engine.precision}-{size}"
    place.mkdir()
    resized = graph_at_size(store.open(graph), size, place)
    return graph_contender(engine.name, engine.precision, target, resized, place)


def _images(data: DataConfig, count: int, size_px: int | None = None) -> NDArray[np.float32]:
    """The first test images, again from the start where there are fewer; float32[N, C, H, W].

    Images of another size than the job's are random: what is in them does not change the time.
    """
    images = open_dataset(data, "test")
    chosen = np.arange(count, dtype=np.int64) % len(images)
    own = images.images(chosen[:1])
    if size_px is None or own.shape[2:] == (size_px, size_px):
        return images.images(chosen)
    shape = (count, own.shape[1], size_px, size_px)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _network(store: Store, sources: ProfileSources) -> "Callable[[], nn.Module]":
    @cache
    def load() -> "nn.Module":
        from tasks.models.float32 import load_float32

        return load_float32(sources.model, store)

    return load
