"""A job's profile: the engine first, then its other plans, then the baselines."""

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.base import Target
from schemas.data import DataConfig
from schemas.engine import EngineResult, Manifest
from schemas.errors import InputError
from schemas.profiling import (
    Latency,
    LatencyReport,
    ProfileConfig,
    ProfileSources,
    Ratio,
    Speedup,
    SweepConfig,
    threads_of,
)
from tasks.artifacts.store import Store
from tasks.datasets.dataset import Dataset
from tasks.datasets.open import open_dataset
from tasks.profiling.baselines import baseline_contenders
from tasks.profiling.clocks import ClockWatch, moved_note, require_steady
from tasks.profiling.contenders import (
    Contender,
    graph_contender,
    plan_contender,
    why_not_as_named,
)
from tasks.profiling.distribution import speedup_of
from tasks.profiling.layer_times import layer_times_ms
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
    further: Sequence[EngineResult] = (),
) -> LatencyReport:
    """Measure everything that ``config`` asks for; ``further`` are plans in other precisions.

    Raises InputError where steady clocks are demanded and were not.
    """
    with store.workspace() as folder:
        run = _Run(store, target, int8, float32, sources, data, config, folder)
        run.add(further)
        return run.report()


class _Run:
    """One profile; plans of other sizes and of baselines lie in ``folder`` meanwhile."""

    def __init__(
        self,
        store: Store,
        target: Target,
        int8: EngineResult,
        float32: EngineResult,
        sources: ProfileSources,
        data: DataConfig,
        config: ProfileConfig,
        folder: Path,
    ) -> None:
        self.store, self.target, self.sources, self.folder = store, target, sources, folder
        self.data, self.config, self.int8 = data, config, int8
        self.watch = ClockWatch(on_gpu=target in ON_GPU)
        self.engines = [
            plan_contender(
                f"{target} {precision}",
                precision,
                target,
                store.open(result.plan),
                store.load(result.manifest, Manifest),
            )
            for precision, result in (("int8", int8), ("float32", float32))
        ]
        self.further: list[Contender] = []

    def add(self, plans: Sequence[EngineResult]) -> None:
        """Time these as well, as often as the two that the job is about."""
        for result in plans:
            manifest = self.store.load(result.manifest, Manifest)
            name = f"{self.target} {manifest.precision}"
            plan = self.store.open(result.plan)
            self.further.append(
                plan_contender(name, manifest.precision, self.target, plan, manifest)
            )

    def report(self) -> LatencyReport:
        baselines, notes = baseline_contenders(
            self.config.baselines,
            cache(self._network),
            self.store.open(self.sources.float32_graph),
            self.folder,
            on_gpu=self.target in ON_GPU,
        )
        plans = [*self.engines, *self.further]
        taken = {engine.name for engine in plans}
        contenders = [*plans, *(x for x in baselines if x.name not in taken)]
        reasons = (why_not_as_named(x.name, self.target, x.precision) for x in self.further)
        notes += [reason for reason in reasons if reason is not None]
        images = self._images(self.config.batch_size)
        latencies: list[Latency] = []
        ratios: list[Ratio] = []
        speedups: list[Speedup] = []
        for threads in self.config.threads:
            label = f"profile {self.target}, {threads_of(threads)}"
            found = measure(contenders, images, threads, self.config, label, self.watch)
            latencies += found.latencies
            ratios += found.ratios
            notes += [note for note in found.notes if note not in notes]
            ours, theirs = (found.times_ms[engine.name] for engine in self.engines)
            speedups.append(speedup_of(self.target, threads, ours, theirs))
        swept, swept_ratios, left_out = self._sweep(self.config.sweep)
        clocks = self.watch.report()
        if self.config.steady_clocks == "require":
            require_steady(clocks)
        moved = [moved_note(clocks)] if clocks is not None and clocks.moved else []
        return LatencyReport(
            machine=describe_machine(),
            latencies=tuple(latencies),
            speedups=tuple(speedups),
            ratios=tuple(ratios),
            sweep=tuple(swept),
            sweep_ratios=tuple(swept_ratios),
            layer_times_ms=layer_times_ms(
                self.target, self.store.open(self.int8.plan), self.config.layer_calls
            ),
            clocks=clocks,
            notes=(*notes, *left_out, *moved),
        )

    def _sweep(self, sweep: SweepConfig | None) -> tuple[list[Latency], list[Ratio], list[str]]:
        """INT8 and FP32 at every batch and image size, with the first thread count."""
        if sweep is None:
            return [], [], []
        own = self._images(1).shape[2:]
        fewer = self.config.model_copy(update={"rounds": sweep.rounds, "duration_s": None})
        latencies: list[Latency] = []
        ratios: list[Ratio] = []
        notes: list[str] = []
        for size in sweep.image_sizes_px or (None,):
            try:
                pair = self.engines if size is None or own == (size, size) else self._pair(size)
            except InputError as error:
                notes.append(f"the sweep leaves out {size} px: {error}")
                continue
            for batch_size in sweep.batch_sizes:
                images = self._images(batch_size, size)
                label = f"sweep {self.target}, {batch_size} of {images.shape[2]} px"
                threads = self.config.threads[0]
                found = measure(pair, images, threads, fewer, label, self.watch)
                latencies += found.latencies
                ratios += found.ratios
        return latencies, ratios, notes

    def _pair(self, size: int) -> list[Contender]:
        """Both engines for images of another size."""
        pair = []
        graphs = (self.sources.int8_graph, self.sources.float32_graph)
        for engine, graph in zip(self.engines, graphs, strict=True):
            place = self.folder / f"{engine.precision}-{size}"
            place.mkdir()
            resized = graph_at_size(self.store.open(graph), size, place)
            pair.append(graph_contender(engine.name, engine.precision, self.target, resized, place))
        return pair

    def _images(self, count: int, size_px: int | None = None) -> NDArray[np.float32]:
        """The first test images, again from the start where there are fewer; float32[N, C, H, W].

        Images of another size than the job's are random: their content does not change the time.
        """
        images = self._test_images
        chosen = np.arange(count, dtype=np.int64) % len(images)
        own = images.images(chosen[:1])
        if size_px is None or own.shape[2:] == (size_px, size_px):
            return images.images(chosen)
        shape = (count, own.shape[1], size_px, size_px)
        return np.random.default_rng(0).standard_normal(shape, np.float32)

    @cached_property
    def _test_images(self) -> Dataset:
        return open_dataset(self.data, "test")

    def _network(self) -> "nn.Module":
        from tasks.models.float32 import load_float32

        return load_float32(self.sources.model, self.store)
