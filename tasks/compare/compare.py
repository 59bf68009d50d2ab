"""What is different between two runs.

Speed is compared as each run's ratio over its own FP32 engine, which ran beside it; milliseconds of
two runs are two measurements, shown and never divided.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.base import Target
from schemas.compare import Change, Comparison, EngineComparison, LayerRow, RunSide
from schemas.engine import Layer, LayerPair
from schemas.report import RunReport
from schemas.surgery import GraphDiff
from tasks.compare.figures import accuracy_figures, engine_figures

LONGEST_LABEL = 28


def compare(
    names: tuple[str, str],
    left: RunReport,
    right: RunReport,
    graphs: Mapping[Target, GraphDiff | str],
    layers: Mapping[Target, tuple[tuple[LayerPair, ...], str]],
) -> Comparison:
    """Two reports side by side, called ``names``.

    ``graphs`` has the difference of the repaired graphs of each engine that both built, or why
    there is none; ``layers`` the layers of their INT8 plans, matched, and a note on how.
    """
    labels = names if max(map(len, names)) <= LONGEST_LABEL else ("left", "right")
    sides = (_side(names[0], labels[0], left), _side(names[1], labels[1], right))
    environment = _changes(_environment(left), _environment(right))
    return Comparison(
        left=sides[0],
        right=sides[1],
        cautions=tuple(_cautions(sides, left, right, environment)),
        config=_changes(_config(left), _config(right)),
        environment=environment,
        gates=_changes(_gates(left), _gates(right)),
        modules=tuple(_modules(left, right)),
        accuracy=accuracy_figures(left, right),
        engines=tuple(
            EngineComparison(
                target=target,
                figures=engine_figures(target, left, right),
                graph=found if isinstance(found := graphs.get(target), GraphDiff) else None,
                graph_note=found if isinstance(found, str) else "",
                layers=tuple(_rows(layers[target][0])) if target in layers else (),
                layers_note=layers[target][1] if target in layers else "",
            )
            for target in dict.fromkeys(e.target for e in (*left.engines, *right.engines))
        ),
    )


def _side(name: str, label: str, report: RunReport) -> RunSide:
    return RunSide(
        name=name,
        label=label,
        job=report.job.name,
        passed=report.passed,
        failed=tuple(gate.name for gate in report.gates if not gate.passed),
        machine=report.latencies[0].machine if report.latencies else None,
        images=report.accuracies[0].images,
    )


def _cautions(
    sides: tuple[RunSide, RunSide],
    left: RunReport,
    right: RunReport,
    environment: tuple[Change, ...],
) -> Iterator[str]:
    """What keeps figures of the two runs from being compared as they stand."""
    if left == right:
        yield "both are the same run"
    machines = [side.machine for side in sides]
    if None not in machines and machines[0] != machines[1]:
        yield (
            f"timed on different machines ({machines[0]}; {machines[1]}): milliseconds cannot be "
            "compared, and INT8 over FP32 is of each machine's own kernels"
        )
    for side, report in zip(sides, (left, right), strict=True):
        if any(part.clocks is not None and part.clocks.moved for part in report.latencies):
            yield f"the clock moved while {side.label} was timed: ratios hold better than times"
    if environment:
        shown = ", ".join(
            f"{x.name} {x.left or 'none'} -> {x.right or 'none'}" for x in environment
        )
        yield f"the environments differ: {shown}"
    if sides[0].images != sides[1].images or _data(left) != _data(right):
        yield (
            f"accuracy was measured on different images ({_images(left)}; {_images(right)}): "
            "compare what each lost against its own FP32 network, not top-1"
        )


def _data(report: RunReport) -> object:
    return None if report.data is None else report.data.identity()


def _images(report: RunReport) -> str:
    count = f"{report.accuracies[0].images:,}"
    return count if report.data is None else f"{count} of dataset {report.data.sha256[:12]}"


def _config(report: RunReport) -> dict[str, str]:
    document = report.job.model_dump(mode="json")
    return dict(_leaves(document))


def _leaves(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)


def _environment(report: RunReport) -> dict[str, str]:
    """Package versions, and what each engine says of processor, GPU and driver."""
    found = dict(report.versions)
    for engine in report.engines:
        # A version that the packages name already is not another dependency.
        known = set(found.values())
        found |= {
            f"{engine.target} {name}": value
            for name, value in engine.manifest.fingerprint.items()
            if value not in known
        }
    return found


def _gates(report: RunReport) -> dict[str, str]:
    return {gate.name: "passed" if gate.passed else "FAILED" for gate in report.gates}


def _modules(left: RunReport, right: RunReport) -> Iterator[Change]:
    """The modules that both networks have, and that are INT8 in one of them only."""
    ours, theirs = _precisions(left), _precisions(right)
    return (x for x in _changes(ours, theirs) if x.left is not None and x.right is not None)


def _precisions(report: RunReport) -> dict[str, str]:
    modules = () if report.quantized is None else report.quantized.modules
    return {row.name: "INT8" if row.quantized else "float" for row in modules}


def _changes(left: Mapping[str, str], right: Mapping[str, str]) -> tuple[Change, ...]:
    """The names whose values differ, in the order of the left."""
    return tuple(
        Change(name=name, left=left.get(name), right=right.get(name))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    )


def _rows(pairs: tuple[LayerPair, ...]) -> Iterator[LayerRow]:
    left_ms = sum(pair.left_ms or 0.0 for pair in pairs)
    right_ms = sum(pair.right_ms or 0.0 for pair in pairs)
    for pair in pairs:
        yield LayerRow(
            pair=pair,
            left_share=_share(pair.left_ms, left_ms),
            right_share=_share(pair.right_ms, right_ms),
            same=kernels(pair.left) == kernels(pair.right),
        )


def _share(time_ms: float | None, whole_ms: float) -> float | None:
    return None if time_ms is None or not whole_ms else time_ms / whole_ms


def kernels(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Each kernel as its type and what it reads and writes, such as 'Convolution u8 -> u8'."""
    return tuple(
        f"{x.type} {'/'.join(x.input_dtypes[:1])} -> {'/'.join(x.output_dtypes[:1])}"
        for x in layers
    )
