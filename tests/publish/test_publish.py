"""What is published is whole, is what was built, and goes live only when every gate passed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import InputError
from schemas.publish import PublishConfig, Served, Version
from tasks.artifacts.store import Store, sha256_of_file
from tasks.publish.latest import (
    GatesFailedError,
    latest_folder,
    promote,
    read_pointer,
    rollback,
    version_key,
    versions,
)
from tasks.publish.publish import package_run, publish
from tasks.runtimes.plans import open_plan
from tests.publish.conftest import CLASSES, FAILED, PASSED, Run

REPOSITORY = Path(__file__).parents[2]
FOLDER_ONLY = PublishConfig(formats=("folder",))


def published(run: Run, config: PublishConfig | None = None) -> Path:
    publish(run.store, package_run(run.store, run.report, config), run.report, run.digest)
    return latest_folder(run.store, run.job)


def test_a_version_holds_what_its_manifest_says_and_nothing_else(run: Run) -> None:
    folder = published(run)
    manifest = folder / "version.json"
    assert sha256_of_file(manifest).startswith(folder.name)
    version = Version.model_validate_json(manifest.read_bytes())
    present = {x.relative_to(folder).as_posix() for x in folder.rglob("*") if x.is_file()}
    assert present == {*version.files, "version.json"}
    for path, digest in version.files.items():
        assert sha256_of_file(folder / path) == digest


def test_the_manifest_names_classes_preprocessing_and_measured_accuracy(run: Run) -> None:
    served = Served.model_validate_json((published(run) / "folder/manifest.json").read_bytes())
    assert served.classes == CLASSES
    assert served.preprocessing.mean == (0.4, 0.5, 0.6)
    assert served.preprocessing.center_crop == 0.8
    openvino, rtx = served.engines
    assert (openvino.file, openvino.top1) == ("openvino.plan", run.report.accuracies[0].top1)
    assert rtx.left_out == "no backend of Triton loads plans of TensorRT for RTX"
    assert rtx.triton_model is None


def test_a_published_plan_opens_as_the_one_that_was_built(run: Run) -> None:
    folder = published(run)
    plan = folder / "folder/openvino.plan"
    assert sha256_of_file(plan) == run.report.engines[0].plan.sha256
    assert open_plan(plan).infer(__import__("numpy").zeros((1, 3, 24, 32), "f4")).shape == (1, 4)


def test_publishing_the_same_run_twice_is_one_version(run: Run) -> None:
    first = published(run)
    assert published(run) == first
    assert len(versions(run.store, run.job)) == 1


def test_another_choice_is_another_version_and_rollback_brings_the_first_back(run: Run) -> None:
    first, second = published(run), published(run, FOLDER_ONLY)
    assert first != second
    assert not (second / "triton").exists()
    rollback(run.store, run.job)
    assert latest_folder(run.store, run.job) == first


def test_a_withdrawn_version_is_not_promoted_by_the_next_equal_run(run: Run) -> None:
    published(run)
    packed = package_run(run.store, run.report, FOLDER_ONLY)
    publish(run.store, packed, run.report, run.digest)
    rollback(run.store, run.job)
    outcome = publish(run.store, packed, run.report, run.digest)
    assert not outcome.promoted
    assert "rolled back" in (outcome.reason or "")
    assert publish(run.store, packed, run.report, run.digest, again=True).promoted


def test_a_run_whose_gates_failed_is_refused_and_writes_nothing(run: Run) -> None:
    published(run)
    before = read_pointer(run.store, run.job)
    broken = run.with_gates(PASSED, FAILED)
    with pytest.raises(GatesFailedError, match=r"points lost: 1\.20 of at most 0\.50"):
        published(broken, FOLDER_ONLY)
    assert read_pointer(run.store, run.job) == before
    assert len(versions(run.store, run.job)) == 1


def test_a_version_that_somebody_changed_is_put_right_by_publishing_again(run: Run) -> None:
    folder = published(run)
    labels = folder / "folder/labels.txt"
    labels.chmod(0o644)
    labels.write_text("changed\n")
    (folder / "folder/infer.py").unlink()
    published(run)
    assert labels.read_text(encoding="utf-8").startswith("cat\ngroße Katze\n")
    assert (folder / "folder/infer.py").is_file()


def test_an_engine_that_the_job_does_not_build_is_refused(run: Run) -> None:
    with pytest.raises(
        InputError, match=r"publish\.engines names tensorrt, which the job does not"
    ):
        package_run(run.store, run.report, PublishConfig(engines=("tensorrt",)))


def test_the_repaired_graph_can_be_published_for_onnx_runtime(run: Run) -> None:
    folder = published(run, PublishConfig(engines=("onnxruntime",)))
    served = Served.model_validate_json((folder / "folder/manifest.json").read_bytes())
    assert [x.engine for x in served.engines] == ["onnxruntime"]
    assert served.engines[0].top1 == run.report.accuracies[1].top1
    graph = folder / "triton/tiny-onnxruntime/1/model.onnx"
    assert sha256_of_file(graph) == run.report.engines[0].graph.sha256


def test_a_run_published_to_an_object_store_is_found_there(
    built: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINESMITH_STORE_COPIES", str(tmp_path / "copies"))
    remote = Store(f"memory://{tmp_path.name}")
    for file in (built.store.root / "objects").rglob("*.*"):
        key = file.relative_to(built.store.root).as_posix()
        remote.backend.write(key, file.read_bytes())
    folder = published(Run(remote, built.report, built.digest))
    assert (folder / "folder/infer.py").is_file()
    keys = {entry.key for entry in remote.backend.entries("published")}
    assert {f"{version_key('tiny', folder.name)}/version.json", "published/tiny/latest.json"} < keys


# Dies by SIGKILL just before the file operation of this number, counted from the first file of the
# version on; fork-free, so that nothing can clean up behind it.
DIE = """
import os, signal, sys
from pathlib import Path
from schemas.publish import PublishConfig
from schemas.report import RunReport
from tasks.artifacts.folder import Folder
from tasks.artifacts.store import Store
from tasks.publish.publish import package_run, publish
from tasks.publish.runs import find_run, read_report

store, die_at = Store(Path(sys.argv[1])), int(sys.argv[2])
report, digest = read_report(find_run(store, "tiny"))
packed = package_run(store, report, PublishConfig(formats=("folder",)))
calls = 0

def counted(name):
    real = getattr(Path, name)
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(Path, name, call)

counted("replace")
counted("chmod")
publish(store, packed, report, digest)
print(calls)
"""


def publish_and_die(run: Run, die_at: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", DIE, str(run.store.root), str(die_at)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kill_at_any_moment_leaves_latest_at_a_whole_version(built: Run, tmp_path: Path) -> None:
    """Between files, between the last file and the promotion, and in the middle of a promotion."""
    import shutil

    def fresh(name: str) -> Run:
        shutil.copytree(built.store.root, tmp_path / name)
        again = Run(Store(tmp_path / name), built.report, built.digest)
        published(again)
        return again

    whole = publish_and_die(fresh("whole"), 0)
    calls = int(whole.stdout)
    assert calls > 8, whole.stderr
    # The pointer is replaced last; just before it everything of the version is there.
    for die_at in (1, 2, calls // 2, calls - 1, calls):
        run = fresh(f"die-{die_at}")
        before = latest_folder(run.store, run.job)
        died = publish_and_die(run, die_at)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert latest_folder(run.store, run.job) == before
        after = published(run, FOLDER_ONLY)
        assert after != before
        held = json.loads((after / "version.json").read_bytes())["files"]
        assert all(sha256_of_file(after / path) == digest for path, digest in held.items())


def test_a_run_of_before_classes_were_reported_is_said(run: Run) -> None:
    old = run.report.model_copy(update={"data": None})
    with pytest.raises(InputError, match="does not name the classes: run the job again"):
        package_run(run.store, old)


def test_promotion_needs_the_gates_and_not_only_a_verdict(run: Run) -> None:
    folder = published(run)
    with pytest.raises(GatesFailedError, match="has no gates"):
        promote(run.store, run.job, folder.name, ())
