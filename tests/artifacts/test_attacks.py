"""What happens to a store behind its back is found, named, and put right by making it again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.store_upkeep import collect_garbage, verify_store
from schemas.artifact import ArtifactRef
from schemas.errors import InputError, StaleArtifactError
from schemas.history import RetentionPolicy
from tasks.artifacts.store import Store
from tests.artifacts.attacks import (
    EVERYWHERE,
    FOUND_AS,
    Attack,
    delete,
    flip_a_bit,
    replace_by_a_link,
)
from tests.artifacts.test_remote import REPOSITORY, elsewhere
from tests.crash.parts import volume

RESULT = "results/engine-" + "0" * 64
CASES = [
    *(("folder", attack) for attack in (*EVERYWHERE, replace_by_a_link)),
    # An object store has no links.
    *(("s3", attack) for attack in EVERYWHERE),
]


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return Store(str(request.getfixturevalue("s3")))
    return Store(tmp_path / "store")


def remember(store: Store, ref: ArtifactRef) -> None:
    """What Prefect remembers of a stage that made an object."""
    returned = {"__class__": "x", "data": [ref.model_dump(mode="json")]}
    record = {"metadata": {}, "result": json.dumps(returned)}
    store.backend.write(RESULT, json.dumps(record).encode())


@pytest.mark.parametrize(("store", "attack"), CASES, indirect=["store"])
def test_a_harmed_object_is_found_on_open_and_by_verify_and_made_again(
    store: Store, attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = store.put_bytes("plan", b"a plan of some length", ".plan")
    remember(store, ref)
    assert verify_store(store).findings == ()
    attack(store, ref.path)

    (found,) = verify_store(store).findings
    assert found.key == (RESULT if attack is delete else ref.path)
    assert found.damage == FOUND_AS.get(attack, "missing")
    assert found.rebuilt_by.startswith("run ")
    assert "stage engine" in found.rebuilt_by

    # Where a copy of it lies, the copy is good; a machine without one says what is wrong.
    there = elsewhere(store.location, tmp_path, monkeypatch)
    with pytest.raises(StaleArtifactError) as refused:
        there.open(ref)
    for said in ("plan", ref.sha256[:12], store.location, "run the job again"):
        assert said in str(refused.value)

    assert there.put_bytes("plan", b"a plan of some length", ".plan") == ref
    assert there.open(ref).read_bytes() == b"a plan of some length"
    assert verify_store(store).findings == ()


@pytest.mark.parametrize(("store", "attack"), CASES, indirect=["store"])
def test_a_harmed_result_of_a_stage_is_named(store: Store, attack: Attack) -> None:
    remember(store, store.put_bytes("plan", b"a plan", ".plan"))
    # Of JSON, a flipped last bit is a brace that is none.
    attack(store, RESULT)
    found = verify_store(store).findings
    assert [x.damage for x in found] == ([] if attack is delete else ["unreadable"])
    assert [x.key for x in found] == ([] if attack is delete else [RESULT])


@pytest.mark.parametrize("store", ["folder", "s3"], indirect=True)
def test_what_a_killed_writer_leaves_is_no_object_and_is_swept_up(store: Store) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITES_HALF, store.location], cwd=REPOSITORY)
    scratch = store.root / "tmp"
    deadline = time.monotonic() + 60
    while not list(scratch.rglob("object")) and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.kill()
    assert writer.wait() == -signal.SIGKILL
    (left,) = scratch.rglob("object")
    assert list(store.backend.entries("objects")) == []
    assert verify_store(store).findings == ()  # It might still be being written.
    then = time.time() - 3610  # An hour, and what clocks differ by.
    os.utime(left, (then, then))
    (found,) = verify_store(store).findings
    assert found.damage == "left over"
    assert found.key.endswith(f"tmp/{left.parent.name}/object")
    swept = collect_garbage(store, RetentionPolicy(keep_good=1, keep_days=0, grace_hours=0))
    assert swept.left_overs == (found.key,)
    assert list(scratch.iterdir()) == []


WRITES_HALF = """
import sys, time
from tasks.artifacts.store import Store
store = Store(sys.argv[1])
with store.workspace() as folder:
    (folder / "object").write_bytes(b"half an obj")
    time.sleep(60)
"""

PUTS = """
import sys
from tasks.artifacts.store import Store
store = Store(sys.argv[1])
big = b"x" * 300_000
while True:
    store.open(store.put_bytes("plan", big, ".plan"))
    print("once", flush=True)
"""


def test_writers_of_one_object_that_are_killed_leave_it_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    ref = store.put_bytes("plan", b"x" * 300_000, ".plan")
    for round_ in range(3):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", PUTS, store.location],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(3)
        ]
        for writer in writers:
            assert writer.stdout is not None
            for _ in range(5 + round_):
                assert writer.stdout.readline() == b"once\n"
                store.open(ref)
        for writer in writers:
            writer.kill()
            # None of them ended by itself before: none saw anything damaged or missing.
            assert writer.wait() == -signal.SIGKILL
            assert writer.stderr is not None
            assert writer.stderr.read() == b""
            store.open(ref)
    assert [entry.key for entry in store.backend.entries("objects")] == [ref.path]
    assert verify_store(store).findings == ()


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "store"
    place.mkdir()
    with volume(place, "1m") as disk:
        if not disk.mounted:
            pytest.skip("a file system of its own cannot be mounted here: run as root")
        store = Store(place)
        kept = store.put_bytes("text", b"kept", ".txt")
        writes = [
            lambda: store.put_bytes("plan", b"x" * 2_000_000, ".plan"),
            lambda: store.backend.write("results/engine-1", b"x" * 2_000_000),
        ]
        for write in writes:
            with pytest.raises(InputError) as refused:
                write()
            assert str(place) in str(refused.value)
            assert "No space left on device" in str(refused.value)
            assert "\n" not in str(refused.value)
        there = [*store.backend.entries("objects"), *store.backend.entries("results")]
        assert [entry.key for entry in there] == [kept.path]
        assert list((place / "tmp").iterdir()) == []
        flip_a_bit(store, kept.path)
        assert store.put_bytes("text", b"kept", ".txt") == kept
        assert store.open(kept).read_bytes() == b"kept"
        with disk.read_only(), pytest.raises(InputError, match="Read-only file system"):
            store.put_bytes("text", b"more", ".txt")
