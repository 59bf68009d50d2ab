"""Nothing that a store is asked for lies outside its root, whatever the key or the links inside."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.artifact import ArtifactRef
from schemas.errors import InputError
from schemas.publish import Package
from tasks.artifacts.backend import Backend, open_backend
from tasks.artifacts.inside import check_key, inside
from tasks.artifacts.store import Store
from tasks.publish.layout import lay_out

SECRET = b"not of the store"
PARTS = st.sampled_from(["..", ".", "", "a", "objects", "b.txt", "...", "/", "\\", "..\\..", "~"])
KEYS = st.lists(PARTS, min_size=1, max_size=6).map("/".join) | st.text(max_size=20)

OPERATIONS: dict[str, Callable[[Backend, str], object]] = {
    "fetch": lambda backend, key: backend.fetch(key),
    "read": lambda backend, key: backend.read(key),
    "stream": lambda backend, key: backend.stream(key).read(),
    "write": lambda backend, key: backend.write(key, b"written"),
    "remove": lambda backend, key: backend.remove(key),
    "entries": lambda backend, key: list(backend.entries(key)),
    "forget": lambda backend, key: backend.forget(key),
}


@settings(max_examples=300, deadline=None)
@given(key=KEYS)
def test_a_key_is_below_the_root_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    root = tmp_path_factory.getbasetemp()
    try:
        place = inside(root, key)
    except InputError:
        return
    assert place.resolve() != root.resolve()
    assert place.resolve().is_relative_to(root.resolve())
    assert check_key(key) == key


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=KEYS, operation=st.sampled_from(sorted(OPERATIONS)))
def test_no_operation_reaches_what_lies_beside_the_store(
    tmp_path: Path, key: str, operation: str
) -> None:
    beside = tmp_path / "b.txt"
    beside.write_bytes(SECRET)
    backend = open_backend(tmp_path / uuid.uuid4().hex)
    before = set(tmp_path.iterdir())
    try:
        given = OPERATIONS[operation](backend, key)
    except (InputError, OSError, ValueError):
        given = None
    assert given != SECRET
    assert beside.read_bytes() == SECRET
    assert set(tmp_path.iterdir()) == before


# A folder has no copies to forget.
CASES = [
    (scheme, operation)
    for scheme in ("folder", "memory")
    for operation in sorted(OPERATIONS)
    if (scheme, operation) != ("folder", "forget")
]


@pytest.mark.parametrize(("scheme", "operation"), CASES)
@pytest.mark.parametrize("key", ["../b.txt", "objects/../../b.txt", "/etc/hostname", "a\\..\\b"])
def test_the_known_ways_out_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, key: str, operation: str
) -> None:
    monkeypatch.setenv("ENGINESMITH_STORE_COPIES", str(tmp_path / "copies"))
    place = tmp_path / "store" if scheme == "folder" else f"memory://{uuid.uuid4().hex}"
    with pytest.raises(InputError, match="is no path within an artifact store") as refused:
        OPERATIONS[operation](open_backend(place), key)
    assert "\n" not in str(refused.value)


def test_a_link_to_a_file_outside_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    backend = open_backend(tmp_path / "store")
    (backend.root / "objects" / "link").symlink_to(secret)
    with pytest.raises(FileNotFoundError):
        backend.read("objects/link")
    backend.write("objects/link", b"of the store")
    assert secret.read_bytes() == SECRET
    assert backend.read("objects/link") == b"of the store"


def test_a_link_to_a_folder_outside_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    store = Store(tmp_path / "store")
    (store.root / "history").symlink_to(outside)
    for operation in ("read", "write", "remove", "stream"):
        with pytest.raises(InputError, match="is a link that leads out of it"):
            OPERATIONS[operation](store.backend, "history/secret")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    # An object's folder is found out before anything is put there.
    ref = store.put_bytes("text", b"right", ".txt")
    store.backend.remove(ref.path)
    (store.root / ref.path).parent.rmdir()
    (store.root / ref.path).parent.symlink_to(outside)
    with pytest.raises(InputError, match="is a link that leads out of it"):
        store.put_bytes("text", b"right", ".txt")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_the_store_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = Store(tmp_path / "store")
    ref = store.put_bytes("text", b"right", ".txt")
    assert store.open(ref).read_bytes() == b"right"


@pytest.mark.parametrize("path", ["../../../../escaped", "/tmp/escaped", "folder/../../../x"])
def test_a_forged_package_cannot_publish_outside(tmp_path: Path, path: str) -> None:
    store = Store(tmp_path / "store")
    ref: ArtifactRef = store.put_bytes("text", b"forged", ".txt")
    package = Package(version="0" * 16, formats=("folder",), manifest=ref, files={path: ref})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="is no path within an artifact store"):
        lay_out(store, "job", package)
    assert set(tmp_path.rglob("*")) == before


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="has a password in it") as refused:
        Store("sftp://user:hunter2@host/store")
    assert "hunter2" not in str(refused.value)
