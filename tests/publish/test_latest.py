"""``latest`` moves only to a whole version that passed its gates, and moves back on demand."""

import multiprocessing
from pathlib import Path

import pytest

from schemas.base import Gate
from schemas.errors import InputError
from schemas.publish import Preprocessing, Served, Version
from tasks.artifacts.store import Store
from tasks.publish.latest import (
    GatesFailedError,
    WithdrawnError,
    latest_folder,
    promote,
    published_jobs,
    read_pointer,
    rollback,
    version_key,
    versions,
)

HELD = (Gate(name="top-1", passed=True, detail="0.94 of at least 0.93"),)
BROKEN = (*HELD, Gate(name="drop", passed=False, detail="1.2 points of at most 0.5"))
A, B, C = ("a" * 16, "b" * 16, "c" * 16)
JOB = "resnet"
POINTER = f"published/{JOB}/latest.json"
SMALLEST = (
    Version(
        served=Served(
            job=JOB,
            classes=("cat",),
            preprocessing=Preprocessing(input_shape=(3, 8, 8), mode="RGB", convert=False),
            engines=(),
        ),
        files={},
    )
    .model_dump_json()
    .encode()
)


@pytest.fixture(params=["a folder", "an object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three versions of a job, none promoted."""
    monkeypatch.setenv("ENGINESMITH_STORE_COPIES", str(tmp_path / "copies"))
    remote = f"memory://{tmp_path.name}-{request.node.name}"
    store = Store(tmp_path / "artifacts" if request.param == "a folder" else remote)
    for name in (A, B, C):
        store.backend.write(manifest(name), SMALLEST)
    return store


def manifest(version: str) -> str:
    return f"{version_key(JOB, version)}/version.json"


def latest(store: Store) -> str:
    return latest_folder(store, JOB).name


def test_what_passed_becomes_the_latest(store: Store) -> None:
    promote(store, JOB, A, HELD)
    promote(store, JOB, B, HELD)
    assert latest(store) == B
    assert [state.version for state in versions(store, JOB)] == [C, A, B]
    assert [state.latest for state in versions(store, JOB)] == [False, False, True]


@pytest.mark.parametrize("gates", [BROKEN, ()], ids=["a gate failed", "no gates"])
def test_what_did_not_pass_leaves_latest_where_it_was(
    store: Store, gates: tuple[Gate, ...]
) -> None:
    before = promote(store, JOB, A, HELD)
    with pytest.raises(GatesFailedError, match="latest stays where it was"):
        promote(store, JOB, B, gates)
    assert read_pointer(store, JOB) == before


def test_a_failed_gate_is_named_with_its_figure(store: Store) -> None:
    with pytest.raises(GatesFailedError, match=r"drop: 1\.2 points of at most 0\.5") as caught:
        promote(store, JOB, A, BROKEN)
    assert "top-1" not in str(caught.value)


def test_a_version_that_is_not_there_is_not_promoted(store: Store) -> None:
    with pytest.raises(InputError, match="is not in"):
        promote(store, JOB, "d" * 16, HELD)
    assert read_pointer(store, JOB) is None


def test_promoting_the_latest_again_changes_nothing(store: Store) -> None:
    promote(store, JOB, A, HELD)
    written = store.backend.read(POINTER)
    promote(store, JOB, A, HELD)
    assert store.backend.read(POINTER) == written


def test_rollback_goes_back_step_by_step(store: Store) -> None:
    for name in (A, B, C):
        promote(store, JOB, name, HELD)
    assert rollback(store, JOB).latest.version == B
    assert rollback(store, JOB).latest.version == A
    with pytest.raises(InputError, match="none before it"):
        rollback(store, JOB)
    assert latest(store) == A


def test_what_was_rolled_back_does_not_return_by_itself(store: Store) -> None:
    promote(store, JOB, A, HELD)
    promote(store, JOB, B, HELD)
    rollback(store, JOB)
    with pytest.raises(WithdrawnError, match="--again"):
        promote(store, JOB, B, HELD)
    assert latest(store) == A
    promote(store, JOB, B, HELD, again=True)
    assert latest(store) == B
    assert read_pointer(store, JOB).withdrawn == ()  # type: ignore[union-attr]


def test_rollback_passes_over_versions_that_are_gone(store: Store) -> None:
    for name in (A, B, C):
        promote(store, JOB, name, HELD)
    store.backend.remove(manifest(B))
    assert rollback(store, JOB).latest.version == A


def test_a_removed_latest_is_said_and_mended_by_a_rollback(store: Store) -> None:
    promote(store, JOB, A, HELD)
    promote(store, JOB, B, HELD)
    store.backend.remove(manifest(B))
    with pytest.raises(InputError, match=f"version {B}, which was removed.*rollback resnet"):
        latest_folder(store, JOB)
    assert rollback(store, JOB).withdrawn == ()
    assert latest(store) == A


def test_a_latest_that_lacks_a_file_is_said(store: Store) -> None:
    held = Version.model_validate_json(SMALLEST)
    whole = held.model_copy(update={"files": {"folder/infer.py": "0" * 64}})
    store.backend.write(manifest(A), whole.model_dump_json().encode())
    promote(store, JOB, A, HELD)
    with pytest.raises(InputError, match="is not whole"):
        latest_folder(store, JOB)


def test_a_job_that_was_never_published_is_said(store: Store) -> None:
    for attempt in (latest_folder, rollback):
        with pytest.raises(InputError, match=f"nothing of job {JOB} is published"):
            attempt(store, JOB)
    promote(store, JOB, A, HELD)
    with pytest.raises(InputError, match=r"did you mean resnet\?"):
        rollback(store, "resent")
    assert published_jobs(store) == (JOB,)
    assert not (store.root / "published" / "resent").exists()


@pytest.mark.parametrize("content", ["", "{", '{"latest": {"version": "../../etc"}}'])
def test_a_damaged_pointer_is_said(store: Store, content: str) -> None:
    store.backend.write(POINTER, content.encode())
    with pytest.raises(InputError, match="is damaged"):
        latest_folder(store, JOB)


def promote_all(root: Path, names: tuple[str, ...]) -> None:
    for _ in range(20):
        for name in names:
            promote(Store(root), JOB, name, HELD)


def test_promotions_at_the_same_time_lose_none_of_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in (A, B, C):
        store.backend.write(manifest(name), SMALLEST)
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=promote_all, args=(tmp_path, order)) for order in ((A, B), (C,))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    pointer = read_pointer(store, JOB)
    assert pointer is not None
    assert {x.version for x in (*pointer.earlier, pointer.latest)} == {A, B, C}
