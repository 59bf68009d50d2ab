"""``latest`` moves only to a whole version that passed its gates, and moves back on demand."""

import multiprocessing
from pathlib import Path

import pytest

from schemas.base import Gate
from schemas.errors import InputError
from tasks.publish.latest import (
    GatesFailedError,
    WithdrawnError,
    latest_folder,
    promote,
    read_pointer,
    rollback,
    version_folder,
    versions,
)

HELD = (Gate(name="top-1", passed=True, detail="0.94 of at least 0.93"),)
BROKEN = (*HELD, Gate(name="drop", passed=False, detail="1.2 points of at most 0.5"))
A, B, C = ("a" * 16, "b" * 16, "c" * 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder with three versions, none promoted."""
    folder = tmp_path / "published" / "resnet"
    for name in (A, B, C):
        version_folder(folder, name).mkdir(parents=True)
        (version_folder(folder, name) / "version.json").write_text("{}")
    return folder


def latest(folder: Path) -> str:
    return latest_folder(folder).name


def test_what_passed_becomes_the_latest(folder: Path) -> None:
    promote(folder, A, HELD)
    promote(folder, B, HELD)
    assert latest(folder) == B
    assert [state.version for state in versions(folder)] == [C, A, B]
    assert [state.latest for state in versions(folder)] == [False, False, True]


@pytest.mark.parametrize("gates", [BROKEN, ()], ids=["a gate failed", "no gates"])
def test_what_did_not_pass_leaves_latest_where_it_was(
    folder: Path, gates: tuple[Gate, ...]
) -> None:
    before = promote(folder, A, HELD)
    with pytest.raises(GatesFailedError, match="latest stays where it was"):
        promote(folder, B, gates)
    assert read_pointer(folder) == before


def test_a_failed_gate_is_named_with_its_figure(folder: Path) -> None:
    with pytest.raises(GatesFailedError, match=r"drop: 1\.2 points of at most 0\.5") as caught:
        promote(folder, A, BROKEN)
    assert "top-1" not in str(caught.value)


def test_a_version_that_is_not_there_is_not_promoted(folder: Path) -> None:
    with pytest.raises(InputError, match="is not in"):
        promote(folder, "d" * 16, HELD)
    assert read_pointer(folder) is None


def test_promoting_the_latest_again_changes_nothing(folder: Path) -> None:
    promote(folder, A, HELD)
    written = (folder / "latest.json").read_bytes()
    promote(folder, A, HELD)
    assert (folder / "latest.json").read_bytes() == written


def test_rollback_goes_back_step_by_step(folder: Path) -> None:
    for name in (A, B, C):
        promote(folder, name, HELD)
    assert rollback(folder).latest.version == B
    assert rollback(folder).latest.version == A
    with pytest.raises(InputError, match="none before it"):
        rollback(folder)
    assert latest(folder) == A


def test_what_was_rolled_back_does_not_return_by_itself(folder: Path) -> None:
    promote(folder, A, HELD)
    promote(folder, B, HELD)
    rollback(folder)
    with pytest.raises(WithdrawnError, match="--again"):
        promote(folder, B, HELD)
    assert latest(folder) == A
    promote(folder, B, HELD, again=True)
    assert latest(folder) == B
    assert read_pointer(folder).withdrawn == ()  # type: ignore[union-attr]


def test_rollback_passes_over_versions_that_are_gone(folder: Path) -> None:
    for name in (A, B, C):
        promote(folder, name, HELD)
    (version_folder(folder, B) / "version.json").unlink()
    assert rollback(folder).latest.version == A


def test_a_removed_latest_is_said_and_mended_by_a_rollback(folder: Path) -> None:
    promote(folder, A, HELD)
    promote(folder, B, HELD)
    (version_folder(folder, B) / "version.json").unlink()
    with pytest.raises(InputError, match=f"version {B}, which was removed.*rollback resnet"):
        latest_folder(folder)
    assert rollback(folder).withdrawn == ()
    assert latest(folder) == A


def test_a_job_that_was_never_published_is_said(folder: Path) -> None:
    with pytest.raises(InputError, match="never published"):
        latest_folder(folder)
    with pytest.raises(InputError, match="never published"):
        rollback(folder)
    other = folder.with_name("other")
    with pytest.raises(InputError, match="never published"):
        rollback(other)
    assert not other.exists()


@pytest.mark.parametrize("content", ["", "{", '{"latest": {"version": "../../etc"}}'])
def test_a_damaged_pointer_is_said(folder: Path, content: str) -> None:
    (folder / "latest.json").write_text(content)
    with pytest.raises(InputError, match="is damaged"):
        latest_folder(folder)


def promote_all(folder: Path, names: tuple[str, ...]) -> None:
    for _ in range(20):
        for name in names:
            promote(folder, name, HELD)


def test_promotions_at_the_same_time_lose_none_of_them(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=promote_all, args=(folder, order)) for order in ((A, B), (C,))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    pointer = read_pointer(folder)
    assert pointer is not None
    assert {x.version for x in (*pointer.earlier, pointer.latest)} == {A, B, C}
    assert not list(folder.glob(".latest*"))
