"""The store keeps what it is given, checks it on the way out, and shows nothing half-written."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.artifact import ArtifactRef
from schemas.errors import InputError, StaleArtifactError
from tasks.artifacts.store import Store


def test_equal_content_is_one_object(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = (store.put_bytes("text", b"same", ".txt") for _ in range(2))
    assert first == second
    assert store.open(first).read_bytes() == b"same"
    assert len(list((tmp_path / "objects").rglob("*.txt"))) == 1
    assert not list((tmp_path / "tmp").iterdir())


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(FileNotFoundError):
        store.put_file("plan", tmp_path / "nowhere.plan")
    assert not list((tmp_path / "objects").rglob("*.*"))
    assert not list((tmp_path / "tmp").iterdir())


def test_an_altered_object_is_not_handed_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ref = store.put_bytes("text", b"right", ".txt")
    (tmp_path / ref.path).write_bytes(b"wrong")
    with pytest.raises(StaleArtifactError, match=r"damaged: run the job again"):
        store.open(ref)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "objects/../../outside"])
def test_a_reference_cannot_leave_the_store(path: str) -> None:
    with pytest.raises(ValidationError):
        ArtifactRef(kind="text", sha256="0" * 64, path=path)


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written to"):
        Store(tmp_path / "file" / "artifacts")
