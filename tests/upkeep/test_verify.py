"""Every kind of damage is found, named and removable, and a healthy store has none."""

import os
import time
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.store_upkeep import list_contents, verify_store
from schemas.artifact import ArtifactRef
from tasks.artifacts.store import Store
from tasks.history.records import append
from tests.history.builds import build, chain, put


def truncate(store: Store, ref: ArtifactRef) -> None:
    os.truncate(store.root / ref.path, 2)


def flip_a_bit(store: Store, ref: ArtifactRef) -> None:
    file = store.root / ref.path
    data = file.read_bytes()
    file.write_bytes(data[:3] + bytes([data[3] ^ 1]) + data[4:])


def delete(store: Store, ref: ArtifactRef) -> None:
    (store.root / ref.path).unlink()


def replace_by_a_link(store: Store, ref: ArtifactRef) -> None:
    file = store.root / ref.path
    file.rename(store.root / "elsewhere")
    file.symlink_to(store.root / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "damages"),
    [
        (truncate, ["damaged"]),
        (flip_a_bit, ["damaged"]),
        (delete, ["missing"]),
        (replace_by_a_link, ["link"]),
    ],
)
def test_damage_is_named_with_what_rebuilds_it_and_can_be_removed(
    store: Store,
    cache_result: Callable[..., str],
    harm: Callable[[Store, ArtifactRef], None],
    damages: list[str],
) -> None:
    plan = put(store, "a plan")
    cache_result("engine-" + "0" * 64, plan)
    assert verify_store(store).findings == ()
    harm(store, plan)
    (found,) = verify_store(store).findings
    assert [found.damage] == damages
    assert found.key in (plan.path, "results/engine-" + "0" * 64)
    assert "engine" in found.rebuilt_by
    assert "again" in found.rebuilt_by
    assert verify_store(store, remove=True).removed
    assert verify_store(store).findings == ()


def test_the_history_says_which_job_makes_a_damaged_object(store: Store) -> None:
    plan = put(store, "data642025.3")
    append(store, build(store, 1, stages=chain()))
    flip_a_bit(store, plan)
    (found,) = verify_store(store).findings
    assert found.rebuilt_by == "run small again: stage engine openvino int8 makes it"


def test_unreadable_results_left_overs_and_damaged_records_are_found(store: Store) -> None:
    store.backend.write("results/engine-1", b"half a reco")
    (store.root / "tmp/left").write_bytes(b"half")
    then = time.time() - 7200
    os.utime(store.root / "tmp/left", (then, then))
    append(store, build(store, 1))
    record = next((store.root / "history/small").iterdir())
    record.write_text(record.read_text().replace("2.15.0", "2.14.0"))
    found = {x.key: x for x in verify_store(store).findings}
    assert found["results/engine-1"].damage == "unreadable"
    assert found["tmp/left"].damage == "left over"
    assert "its seal does not fit" in found[f"history/small/{record.name}"].detail
    assert len(found) == 3


def test_the_command_exits_1_where_something_is_wrong(store: Store) -> None:
    plan = put(store, "a plan")
    command = ["cache", "verify", "--artifacts", store.location]
    assert CliRunner().invoke(app, command).exit_code == 0
    truncate(store, plan)
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 1
    assert plan.path in said.output
    assert CliRunner().invoke(app, [*command, "--delete"]).exit_code == 1
    assert CliRunner().invoke(app, command).exit_code == 0


def test_the_listing_counts_by_kind(store: Store, cache_result: Callable[..., str]) -> None:
    cache_result("engine-1", put(store, "a plan"))
    put(store, "nobody knows")
    append(store, build(store, 1))
    listing = list_contents(store)
    assert {kind.kind: kind.files for kind in listing.kinds} == {
        "text": 1,
        "unknown": 1,
        "report": 1,
    }
    assert listing.builds == {"small": 1}
    assert listing.results == 1
