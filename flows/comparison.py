"""Two finished runs, found by name and set side by side; needs no Prefect."""

import re
from dataclasses import dataclass
from pathlib import Path

from schemas.base import Target
from schemas.compare import Comparison
from schemas.engine import LayerPair, LayerTable
from schemas.errors import InputError, StaleArtifactError, nearest
from schemas.report import RunReport
from schemas.surgery import GraphDiff
from tasks.artifacts.store import Store
from tasks.compare.compare import compare
from tasks.engine.compare import in_order, side_by_side
from tasks.history.records import named_history
from tasks.publish.runs import find_run, read_report
from tasks.surgery.diff import diff
from tasks.surgery.intake import read_model

NUMBERED = re.compile(r"^(?P<job>[a-z0-9-]+)@(?P<build>\d+)$")


@dataclass(frozen=True)
class Finished:
    """A run that can be read: its report, and where its files lie."""

    name: str
    report: RunReport
    store: Store
    folder: Path | None
    """Of a run that was given by its folder; None: the store has its files."""

    def graph(self, target: Target) -> Path:
        """The repaired graph of an engine. Raises StaleArtifactError where it is gone."""
        engine = next(x for x in self.report.engines if x.target == target)
        beside = None if self.folder is None else self.folder / f"{engine.plans[-1].name}.onnx"
        return beside if beside is not None and beside.is_file() else self.store.open(engine.graph)


def find(store: Store, given: str) -> Finished:
    """The run that is named.

    ``given`` is a job (its newest run), ``JOB@N`` (build N of its history), or a run's folder or
    report.json. Raises InputError where there is none.
    """
    numbered = NUMBERED.match(given)
    if numbered is None:
        file = find_run(store, given)
        return Finished(given, read_report(file)[0], store, file.parent)
    history = named_history(store, numbered["job"])
    wanted = int(numbered["build"])
    build = next((x for x in history.builds if x.sequence == wanted), None)
    if build is None:
        known = [f"{numbered['job']}@{x.sequence}" for x in history.builds]
        raise InputError(
            f"{given}: job {numbered['job']} has no build {wanted}: "
            f"{nearest(given, known, none='check enginesmith history')}"
        )
    try:
        report, _ = read_report(store.open(build.report))
    except StaleArtifactError as error:
        raise InputError(f"{given}: {error}") from error
    return Finished(given, report, store, None)


def compare_runs(left: Finished, right: Finished) -> Comparison:
    """Configs, environments, figures, graphs and layers of two runs, side by side."""
    ours = {engine.target: engine for engine in left.report.engines}
    theirs = {engine.target: engine for engine in right.report.engines}
    both = [target for target in ours if target in theirs]
    return compare(
        (left.name, right.name),
        left.report,
        right.report,
        {target: _graphs(left, right, target) for target in both},
        {target: _layers(ours[target].layers, theirs[target].layers) for target in both},
    )


def _layers(left: LayerTable, right: LayerTable) -> tuple[tuple[LayerPair, ...], str]:
    pairs = side_by_side(left, right)
    if any(pair.left and pair.right for pair in pairs):
        return pairs, ""
    return in_order(left, right), "matched in their order: the plans have no node name in common"


def _graphs(left: Finished, right: Finished, target: Target) -> GraphDiff | str:
    try:
        before, after = left.graph(target), right.graph(target)
    except StaleArtifactError as error:
        return f"not compared: {error}"
    return diff(read_model(before), read_model(after))


def drawn(left: Finished, right: Finished) -> dict[Target, tuple[str | None, str | None]]:
    """Both runs' repaired graphs as SVG, by engine; None: not built, gone, or too large."""
    from tasks.report.page.drawing import draw

    found: dict[Target, tuple[str | None, str | None]] = {}
    for engine in (*left.report.engines, *right.report.engines):
        pictures: list[str | None] = []
        for run in (left, right):
            try:
                file = run.graph(engine.target)
            except (StaleArtifactError, StopIteration):
                pictures.append(None)
            else:
                pictures.append(draw(file, f"The graph for {engine.target} of {run.name}"))
        found[engine.target] = (pictures[0], pictures[1])
    return found
