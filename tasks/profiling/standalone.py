"""A profile of files, without a job."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np

from schemas.base import Target
from schemas.errors import InputError
from schemas.profiling import Latency, LatencyReport, ProfileConfig, Ratio, threads_of
from tasks.profiling.baselines import baseline_contenders
from tasks.profiling.clocks import ClockWatch, moved_note, require_steady
from tasks.profiling.contenders import Contender, why_not_as_named
from tasks.profiling.machine import describe_machine
from tasks.profiling.measure import measure
from tasks.profiling.resize import graph_at_size
from tasks.profiling.sources import Source, shape_text, sources_of, told_apart


@dataclass(frozen=True)
class Request:
    """What to time against what; each of ``others`` is a path, or an engine for ``path``."""

    path: Path
    engine: Target = "openvino"
    others: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1,)
    image_sizes_px: tuple[int, ...] = ()


def profile_request(request: Request, config: ProfileConfig) -> LatencyReport:
    """Time every contender at every batch, image size and thread count, on random images.

    Raises InputError where something given cannot be used, or clocks were to be steady and moved.
    """
    sources, notes = _sources(request)
    reasons = (why_not_as_named(x.name, x.target, x.precision) for x in sources)
    notes += [reason for reason in reasons if reason is not None]
    on_gpu = sources[0].target in ("tensorrt", "tensorrt_rtx")
    watch = ClockWatch(on_gpu=on_gpu)
    latencies: list[Latency] = []
    ratios: list[Ratio] = []
    for size in request.image_sizes_px or (None,):
        with tempfile.TemporaryDirectory() as folder:
            contenders = [source.contender(size, Path(folder)) for source in sources]
            if sources[0].is_graph and sources[0].precision == "float32":
                further, left_out = _baselines(sources, size, config, Path(folder), on_gpu)
                contenders += further
                notes += [note for note in left_out if note not in notes]
            for batch_size in request.batch_sizes:
                shape = _shape(sources, batch_size, size)
                images = np.random.default_rng(0).standard_normal(shape, np.float32)
                for threads in config.threads:
                    label = f"profile {batch_size} of {shape[2]} px, {threads_of(threads)}"
                    found = measure(contenders, images, threads, config, label, watch)
                    latencies += found.latencies
                    ratios += found.ratios
                    notes += [note for note in found.notes if note not in notes]
    clocks = watch.report()
    if config.steady_clocks == "require":
        require_steady(clocks)
    if clocks is not None and clocks.moved:
        notes.append(moved_note(clocks))
    return LatencyReport(
        machine=describe_machine(),
        latencies=tuple(latencies),
        speedups=(),
        ratios=tuple(ratios),
        clocks=clocks,
        notes=tuple(notes),
    )


def _sources(request: Request) -> tuple[list[Source], list[str]]:
    found, notes = sources_of(request.path, request.engine)
    for other in request.others:
        if other in get_args(Target):
            if not all(source.is_graph for source in found[:1]):
                raise InputError(
                    f"--vs {other}: {request.path} is a plan, compiled already: give its ONNX file "
                    "instead, or another plan to compare with"
                )
            more, further = sources_of(request.path, cast(Target, other))
        else:
            more, further = sources_of(Path(other), request.engine)
        found += more
        notes += further
    return told_apart(found), notes


def _baselines(
    sources: Sequence[Source], size: int | None, config: ProfileConfig, folder: Path, on_gpu: bool
) -> tuple[list[Contender], list[str]]:
    """Those that are not what is timed anyway."""
    path = sources[0].path
    graph = path if size is None else graph_at_size(path, size, folder)
    mine = {source.target for source in sources if source.path == path}
    wanted = tuple(x for x in config.baselines if x not in mine)
    return baseline_contenders(wanted, None, graph, folder, on_gpu=on_gpu)


def _shape(
    sources: Sequence[Source], batch_size: int, size: int | None
) -> tuple[int, int, int, int]:
    """The images' shape that fits all sources; raises InputError where there is none."""
    first = sources[0].input
    for source in sources[1:]:
        if source.input.shape[1:] != first.shape[1:] and size is None:
            raise InputError(
                f"{sources[0].path} takes {shape_text(first)} and {source.path} "
                f"{shape_text(source.input)}: profile them at one --size"
            )
    _, channels, height, width = first.shape
    if size is not None:
        height = width = size
    if min(channels, height, width) < 1:
        raise InputError(
            f"{sources[0].path} takes images of any size ({shape_text(first)}): give --size"
        )
    return batch_size, channels, height, width
