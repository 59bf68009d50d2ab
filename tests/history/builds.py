"""Records of builds for tests, with stages that hang together like those of a real build."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.artifact import ArtifactRef
from schemas.history import BuildRecord, EngineFigures, StageRecord
from schemas.profiling import Speedup
from tasks.artifacts.store import Store

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stage(
    name: str, inputs: dict[str, str], made: str, *, key: str | None = "keyed"
) -> StageRecord:
    return StageRecord(
        name=name,
        stage=name.split()[0],
        key=None if key is None else f"{name.split()[0]}-{digest(str(inputs))}",
        cached=False,
        inputs=inputs,
        outputs={"result": digest(made)},
    )


def chain(**changes: str) -> tuple[StageRecord, ...]:
    """dataset -> calibrate -> engine -> answers; ``changes`` are inputs such as images='64'."""
    given = {"data": "data", "images": "64", "openvino": "2025.3", "other": "1"} | changes
    data = stage("dataset", {"root": "/somewhere"}, given["data"], key=None)
    table_of = f"{given['data']}{given['images']}"
    calibrate = stage(
        "calibrate",
        {"data.sha256": digest(given["data"]), "config.images": given["images"]},
        table_of,
    )
    plan_of = f"{table_of}{given['openvino']}"
    engine = stage(
        "engine openvino int8",
        {"table": digest(table_of), "versions.openvino": given["openvino"]},
        plan_of,
    )
    unrelated = stage("convert", {"versions.other": given["other"]}, given["other"])
    answers = stage("evaluate openvino", {"plan": digest(plan_of)}, f"answers{plan_of}")
    return data, calibrate, unrelated, engine, answers


def figures(stages: tuple[StageRecord, ...], **changes: Any) -> EngineFigures:
    plan = next(x for x in stages if x.stage == "engine").outputs["result"]
    document: dict[str, Any] = {
        "engine": "openvino",
        "plan_sha256": plan,
        "top1": 0.94,
        "drop_points": 0.1,
        "speedups": (speedup(2.6),),
        "machine": "a CPU",
        "plan_bytes": 1000,
        "kernels": 48,
    }
    return EngineFigures(**(document | changes))


def speedup(ratio: float, width: float = 0.02) -> Speedup:
    return Speedup(
        engine="openvino",
        threads=1,
        ratio=ratio,
        ratio_low=ratio * (1 - width),
        ratio_high=ratio * (1 + width),
    )


def build(store: Store, sequence: int, **changes: Any) -> BuildRecord:
    """A build of the job ``small`` a day after the one before, its files in the store."""
    stages = changes.pop("stages", None) or chain()
    report = store.put_bytes("report", f"report {sequence}".encode(), ".json")
    document: dict[str, Any] = {
        "job": "small",
        "sequence": sequence,
        "finished": MIDNIGHT + timedelta(days=sequence),
        "run": f"run-{sequence}",
        "passed": True,
        "failed": (),
        "baseline": None,
        "stages": stages,
        "versions": {"torch": "2.15.0"},
        "machine": {"host": "here"},
        "engines": (figures(stages),),
        "report": report,
    }
    return BuildRecord(**(document | changes))


def put(store: Store, text: str) -> ArtifactRef:
    """An object whose digest is ``digest(text)``."""
    return store.put_bytes("text", text.encode(), ".txt")
