"""Garbage collection removes what nothing needs, and nothing else."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.store_upkeep import collect_garbage
from schemas.history import RetentionPolicy
from tasks.artifacts.store import Store
from tasks.history.records import append
from tasks.upkeep.leases import building
from tests.history.builds import build, chain, digest, put

REPOSITORY = Path(__file__).parents[2]
NOW = datetime.now(UTC)
POLICY = RetentionPolicy(keep_good=2, keep_days=10, grace_hours=1)


def history_of(store: Store, days_ago: list[float], passed: list[bool]) -> None:
    """Builds with a plan each, of the given age."""
    for sequence, (days, good) in enumerate(zip(days_ago, passed, strict=True), start=1):
        stages = chain(openvino=f"{sequence}")
        put(store, f"data64{sequence}")
        record = build(store, sequence, stages=stages, passed=good)
        append(store, record.model_copy(update={"finished": NOW - timedelta(days=days)}))


def plans(store: Store) -> set[int]:
    """The builds whose plan is still there."""
    return {n for n in range(1, 9) if list(store.root.glob(f"objects/*/{digest(f'data64{n}')}*"))}


def test_the_newest_good_builds_and_young_ones_are_kept_and_every_report(
    store: Store, age: Callable[[float], None]
) -> None:
    history_of(store, [60, 50, 40, 30, 5], [True, True, True, True, False])
    put(store, "garbage")
    age(20)
    report = collect_garbage(store, POLICY)
    assert plans(store) == {3, 4, 5}
    assert not list(store.root.glob(f"objects/*/{digest('garbage')}*"))
    assert len(list(store.root.glob("objects/*/*.json"))) == 5
    assert len(list(store.root.glob("history/small/*.json"))) == 5
    assert len(report.objects) == 3
    assert not report.dry_run


def test_what_is_published_is_kept_with_the_build_that_it_came_from(
    store: Store, age: Callable[[float], None]
) -> None:
    history_of(store, [60, 50, 40, 30], [True] * 4)
    inputs = put(store, "data64")
    served = {"served": {"engines": [{"plan_sha256": digest("data641")}]}}
    store.backend.write("published/small/versions/1/version.json", json.dumps(served).encode())
    age(20)
    collect_garbage(store, POLICY)
    assert plans(store) == {1, 3, 4}
    assert store.open(inputs).is_file()


def test_a_clock_that_went_back_makes_no_build_old(
    store: Store, age: Callable[[float], None]
) -> None:
    history_of(store, [5, 900, 4, 3, 2], [True] * 5)
    age(20)
    collect_garbage(store, POLICY)
    assert plans(store) == {1, 2, 3, 4, 5}


def test_results_go_with_their_objects_and_young_ones_stay(
    store: Store, age: Callable[[float], None], cache_result: Callable[..., str]
) -> None:
    old, shared = put(store, "old"), put(store, "shared")
    cache_result("engine-old", old, shared)
    age(20)
    cache_result("engine-young", shared)
    report = collect_garbage(store, POLICY)
    assert report.results == ("results/engine-old",)
    assert report.objects == (old.path,)
    assert store.open(shared).is_file()


def test_a_result_that_a_kept_build_used_stays(
    store: Store, age: Callable[[float], None], cache_result: Callable[..., str]
) -> None:
    history_of(store, [60], [True])
    (key,) = [x.key for x in chain(openvino="1") if x.stage == "engine"]
    assert key is not None
    cache_result(key, put(store, "what the record does not name"))
    age(20)
    assert collect_garbage(store, POLICY).results == ()
    assert list(store.root.glob(f"objects/*/{digest('what the record does not name')}*"))


def test_nothing_young_is_removed(store: Store) -> None:
    ref = put(store, "written a moment ago, before its result")
    assert collect_garbage(store, POLICY).objects == ()
    assert store.open(ref).is_file()


def test_left_over_temporary_files_go(store: Store, age: Callable[[float], None]) -> None:
    (store.root / "tmp/killed").mkdir()
    (store.root / "tmp/killed/object").write_bytes(b"half")
    age(2)
    assert collect_garbage(store, POLICY).left_overs == ("tmp/killed/object",)


def test_a_dry_run_says_the_same_and_removes_nothing(
    store: Store, age: Callable[[float], None]
) -> None:
    history_of(store, [60, 50, 40], [True] * 3)
    age(20)
    before = sorted(store.root.rglob("*"))
    said = collect_garbage(store, POLICY, dry_run=True)
    assert sorted(store.root.rglob("*")) == before
    assert collect_garbage(store, POLICY).objects == said.objects != ()


def test_while_a_build_runs_nothing_is_removed(store: Store, age: Callable[[float], None]) -> None:
    ref = put(store, "old, and perhaps about to be used again")
    age(20)
    with building(store):
        said = CliRunner().invoke(app, ["cache", "gc", "--artifacts", store.location])
        assert said.exit_code == 1
        assert "a build is under way" in said.output
        assert store.open(ref).is_file()
    assert collect_garbage(store, POLICY).objects == (ref.path,)


def test_collecting_over_and_over_beside_a_writer_takes_nothing_from_it(store: Store) -> None:
    code = """
import sys, time
from schemas.history import RetentionPolicy
from tasks.artifacts.store import Store
from tasks.upkeep.leases import building
store = Store(sys.argv[1])
for build in range(6):
    with building(store):
        refs = [store.put_bytes("text", f"{build % 2} {i}".encode(), ".txt") for i in range(20)]
        time.sleep(0.05)
        for ref in refs:
            store.open(ref)
"""
    writer = subprocess.Popen([sys.executable, "-c", code, store.location], cwd=REPOSITORY)
    everything = RetentionPolicy(keep_good=1, keep_days=0, grace_hours=0)
    removed, turned_away = 0, 0
    while writer.poll() is None:
        report = collect_garbage(store, everything)
        removed += len(report.objects)
        turned_away += bool(report.waiting_for)
        time.sleep(0.02)
    assert writer.returncode == 0
    assert turned_away > 0
    removed += len(collect_garbage(store, everything).objects)
    assert removed >= 40


@pytest.mark.parametrize("option", [["--keep-good", "0"], ["--keep-days", "-1"]])
def test_a_policy_that_keeps_nothing_is_refused(store: Store, option: list[str]) -> None:
    said = CliRunner().invoke(app, ["cache", "gc", "--artifacts", store.location, *option])
    assert said.exit_code == 2
