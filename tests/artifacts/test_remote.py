"""A store behaves alike wherever it is, and what is wrong with a remote one is said in one line."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from schemas.errors import InputError, StaleArtifactError
from tasks.artifacts.backend import open_backend
from tasks.artifacts.remote import Remote
from tasks.artifacts.store import Store

REPOSITORY = Path(__file__).parents[2]


def elsewhere(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The same store, seen from a machine that has no copies of its files."""
    monkeypatch.setenv("ENGINESMITH_STORE_COPIES", str(tmp_path / "elsewhere"))
    if "://" not in location:
        return Store(location)
    other = Store.__new__(Store)
    other.backend = Remote(location)
    other.location, other.root = location, other.backend.root
    return other


def test_what_one_machine_puts_another_opens(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Store(location)
    ref = here.put_bytes("text", b"hello", ".txt")
    there = elsewhere(location, tmp_path, monkeypatch)
    assert there.open(ref).read_bytes() == b"hello"
    assert [x.key for x in here.backend.entries("objects")] == [ref.path]
    assert [x.size_bytes for x in here.backend.entries("objects")] == [5]
    assert not list((here.root / "tmp").iterdir())


def test_a_damaged_original_is_not_handed_out_and_is_mended_by_putting_it_again(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = Store(location).put_bytes("text", b"right", ".txt")
    there = elsewhere(location, tmp_path, monkeypatch)
    there.backend.write(ref.path, b"wrong")
    with pytest.raises(StaleArtifactError, match="damaged: run the job again"):
        there.open(ref)
    assert there.put_bytes("text", b"right", ".txt") == ref
    assert there.backend.read(ref.path) == b"right"


def test_a_missing_original_is_noticed(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(location)
    ref = store.put_bytes("text", b"right", ".txt")
    store.backend.remove(ref.path)
    with pytest.raises(StaleArtifactError, match="missing"):
        elsewhere(location, tmp_path, monkeypatch).open(ref)


def test_a_damaged_copy_is_fetched_again(s3: str) -> None:
    store = Store(s3)
    ref = store.put_bytes("text", b"right", ".txt")
    (store.root / ref.path).write_bytes(b"wrong")
    assert store.open(ref).read_bytes() == b"right"


def test_a_good_copy_brings_back_an_original_that_is_gone(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = Store(s3).put_bytes("text", b"right", ".txt")
    there = elsewhere(s3, tmp_path, monkeypatch)
    there.open(ref)
    there.backend.remove(ref.path)
    assert there.open(ref).is_file()
    assert there.backend.read(ref.path) == b"right"


def test_where_uploads_grow_in_sight_a_rename_makes_them_whole(tmp_path: Path) -> None:
    place = Remote(f"local://{tmp_path}/far")
    place.write("objects/aa/file", b"whole")
    assert (tmp_path / "far/objects/aa/file").read_bytes() == b"whole"
    assert not list((tmp_path / "far/tmp").iterdir())
    assert [x.key for x in place.entries("objects")] == ["objects/aa/file"]


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    assert Store(f"file://{tmp_path}/store").root == tmp_path / "store"


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"there is no bucket or folder 'no-such-bucket'"):
        Store("s3://no-such-bucket/store")


def test_missing_credentials_are_an_input_error(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(InputError, match="credentials were refused or are not there"):
        Store(s3 + "/unseen")


class _Refuses(BaseHTTPRequestHandler):
    """What S3 answers to a key that it does not know."""

    def do_GET(self) -> None:
        body = (
            b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access "
            b"Key Id you provided does not exist in our records.</Message></Error>"
        )
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("s3")
def test_wrong_credentials_are_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(InputError, match=r"credentials were refused .*AWS_ACCESS_KEY_ID"):
            Store("s3://somewhere/else")
        server.shutdown()


@pytest.mark.usefixtures("s3")
def test_a_server_that_does_not_answer_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match="cannot be reached"):
        Store("s3://nobody/there")


@pytest.mark.parametrize(
    ("location", "message"),
    [("gopher://x/y", "is not an address that can be used"), ("gs://bucket/x", "install it")],
)
def test_an_address_of_no_use_is_an_input_error(location: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_backend(location)


def test_two_processes_put_the_same_files_at_once(s3: str, tmp_path: Path) -> None:
    code = (
        "import sys; from tasks.artifacts.store import Store; store = Store(sys.argv[1])\n"
        "for i in range(30):\n"
        "    ref = store.put_bytes('text', b'x' * 1000 * i, '.txt'); store.open(ref)\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, s3],
            cwd=REPOSITORY,
            env=os.environ | {"ENGINESMITH_STORE_COPIES": str(tmp_path / f"worker-{i}")},
        )
        for i in range(2)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    store = Store(s3)
    objects = list(store.backend.entries("objects"))
    assert len(objects) == 30
    assert not list(store.backend.entries("tmp"))
