"""When a stage's earlier result stands in for running it, seen on real runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import get_client

import tasks.caching
from schemas.artifact import ArtifactRef
from schemas.errors import InputError
from schemas.job import Job
from schemas.report import ReportResult
from tasks.caching import origin, source_digest
from tasks.calibrate.task import calibrate
from tasks.convert.task import convert
from tasks.evaluate.task import predict_float32, predict_int8
from tasks.export.task import export, export_float32
from tasks.runtimes.plans import open_plan
from tests.flows.conftest import Workshop, small_job


def training_job(calibration_seed: int = 0) -> Job:
    """A job that trains its checkpoint, one epoch on 500 real images."""
    return small_job(
        model={"weights": None},
        data={
            "fashion_mnist": None,
            "factory": {"factory": "tests.flows.few_images:FewImages", "kwargs": {"count": 500}},
        },
        train={"epochs": 1, "batch_size": 64, "precision": "float32"},
        calibration={"seed": calibration_seed},
        accuracy={"max_drop_points": 100.0},
    )


def test_a_second_run_is_all_cached(
    warm: Workshop, first_run: tuple[Workshop, ReportResult]
) -> None:
    assert warm.run(small_job()) == first_run[1]
    assert warm.ran() == set()


@pytest.mark.parametrize(
    ("package", "users"),
    [
        ("torchao", {"calibrate", "convert", "export", "export_float32", "predict_int8"}),
        ("onnxscript", {"export", "export_float32"}),
    ],
)
def test_another_version_of_what_a_stage_computes_with_is_another_key(
    package: str, users: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> set[tuple[str, str | None]]:
        stages = (calibrate, convert, export, export_float32, predict_int8, predict_float32)
        return {(stage.name, origin(stage.name, {})[1]) for stage in stages}

    before = keys()
    real = tasks.caching.version_of
    monkeypatch.setattr(
        tasks.caching, "version_of", lambda name: "0.1" if name == package else real(name)
    )
    assert {name for name, _ in keys() - before} == users


@pytest.mark.thorough
def test_another_calibration_seed_calibrates_anew_but_does_not_train(workshop: Workshop) -> None:
    workshop.run(training_job())
    assert "train" in workshop.ran()
    workshop.run(training_job(calibration_seed=1))
    ran = workshop.ran()
    assert {"calibrate", "convert", "surgery openvino", "engine openvino int8"} <= ran
    assert not ran & {"train", "predict_float32"}


def test_an_edited_stage_runs_again(
    warm: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "tasks"
    shutil.copytree(tasks.caching.TASKS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "export" / "to_onnx.py").open("a") as file:
        file.write("# edited\n")
    monkeypatch.setattr(tasks.caching, "TASKS", copy)
    source_digest.cache_clear()
    try:
        warm.run(small_job())
    finally:
        source_digest.cache_clear()
    # This edit changes nothing of what export writes, so nothing after it has to run.
    assert warm.ran() == {"export"}


def test_a_changed_gate_measures_nothing_again(warm: Workshop) -> None:
    result = warm.run(small_job(accuracy={"min_top1": 0.999}))
    assert warm.ran() == {"evaluate", "report"}
    assert not result.passed


def test_refresh_runs_a_stage_again(warm: Workshop) -> None:
    warm.run(small_job(), refresh=("convert",))
    assert warm.ran() == {"convert"}


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip a bit", "replace by a link"])
def test_a_damaged_plan_is_noticed_and_built_again(
    warm: Workshop, first_run: tuple[Workshop, ReportResult], damage: str
) -> None:
    ruin(warm.root, warm.report(first_run[1]).engines[0].plan, damage)
    after = warm.report(warm.run(small_job()))
    assert "engine openvino int8" in warm.ran()
    assert "calibrate" not in warm.ran()
    assert warm.store.open(after.engines[0].plan).is_file()


def ruin(root: Path, ref: ArtifactRef, damage: str) -> None:
    file = root / ref.path
    data = file.read_bytes()
    if damage == "truncate":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip a bit":
        file.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    else:
        file.unlink()
        if damage == "replace by a link":
            elsewhere = root.parent / "elsewhere"
            elsewhere.write_bytes(data)
            file.symlink_to(elsewhere)


def test_a_moved_artifact_folder_keeps_every_hit(warm: Workshop) -> None:
    moved = Workshop(warm.root.rename(warm.root.with_name("moved")))
    moved.run(small_job())
    assert moved.ran() == set()


def test_a_run_delivers_plans_with_manifests_under_readable_names(warm: Workshop) -> None:
    warm.run(small_job())
    delivered = warm.root / "runs" / "small"
    names = {file.name for file in delivered.iterdir()}
    assert {"report.md", "report.json", "openvino.plan", "openvino.plan.manifest.json"} <= names
    digits = open_plan(delivered / "openvino.plan").infer(np.zeros((2, 1, 28, 28), np.float32))
    assert digits.shape == (2, 10)


def test_calibrating_on_the_test_images_is_refused(workshop: Workshop) -> None:
    with pytest.raises(InputError, match="calibration overlaps evaluation"):
        workshop.run(small_job(calibration={"split": "test"}))


def test_asking_for_more_calibration_images_than_there_are_is_refused(workshop: Workshop) -> None:
    with pytest.raises(InputError, match=r"70000 asked for, and the train split has 60000"):
        workshop.run(small_job(calibration={"images": 70000}))


def test_a_network_of_other_classes_is_refused(workshop: Workshop) -> None:
    job = small_job(model={"weights": None, "kwargs": {"num_classes": 7}}, train={"epochs": 1})
    with pytest.raises(InputError, match="7"):
        workshop.run(job)


def test_a_run_shows_its_report_in_prefect(warm: Workshop) -> None:
    warm.run(small_job())
    with get_client(sync_client=True) as client:
        found = client.request(
            "POST",
            "/artifacts/filter",
            json={
                "artifacts": {"key": {"any_": ["report-small"]}},
                "sort": "UPDATED_DESC",
            },
        ).json()
    # Other runs have shown theirs before: the newest counts.
    shown = str(found[0]["data"])
    assert shown.startswith("# small: passed")
    page = warm.root / "runs" / "small" / "report.html"
    assert shown.splitlines()[2] == f"[The report as a page]({page.as_uri()})"
    assert "## Accuracy" in shown
    assert "openvino int8" in shown
