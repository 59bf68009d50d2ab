"""Whatever happens to the files of a finished run, all of them at once: the next run mends it."""

import shutil
import uuid
from pathlib import Path

import boto3
import pytest

from flows.store_upkeep import verify_store
from tasks.artifacts.store import Store
from tasks.upkeep.inventory import OBJECTS, RESULTS, cached_results
from tests.artifacts.attacks import (
    EVERYWHERE,
    FOUND_AS,
    Attack,
    delete,
    flip_a_bit,
    replace_by_a_link,
    truncate,
)
from tests.artifacts.conftest import s3_server  # noqa: F401
from tests.flows.conftest import Workshop, small_job

KINDS = {
    *("calibration", "int8-state", "onnx", "samples", "plan", "manifest", "layers"),
    *("logits", "evaluation", "latency", "report", "report-text", "report-page"),
}


HARM: list[Attack] = [*EVERYWHERE, replace_by_a_link]


def kinds(store: Store) -> set[str]:
    return {ref.kind for result in cached_results(store) for ref in result.refs}


def objects(store: Store) -> list[str]:
    return [entry.key for entry in store.backend.entries(OBJECTS)]


def whole_again(workshop: Workshop, before: set[str]) -> None:
    """A run makes everything anew, and nothing that is wrong is left of what it needs."""
    assert workshop.report(workshop.run(small_job())).passed
    assert {"calibrate", "surgery openvino", "engine openvino int8", "report"} <= workshop.ran()
    assert "cached" not in workshop.states.values()
    assert kinds(workshop.store) == before
    # What a run makes differently each time, such as timings, leaves its harmed former self.
    verify_store(workshop.store, remove=True)
    assert verify_store(workshop.store).findings == ()
    workshop.run(small_job())
    assert workshop.ran() == set()


@pytest.mark.parametrize("attack", HARM)
def test_every_object_that_is_harmed_is_named(warm: Workshop, attack: Attack) -> None:
    store = warm.store
    assert kinds(store) >= KINDS
    harmed = objects(store)
    for key in harmed:
        attack(store, key)
    found = {x.key: x for x in verify_store(store).findings}
    if attack is delete:
        # There is nothing left to name but what refers to it.
        assert {x.damage for x in found.values()} == {"missing"}
        assert {x.key for x in found.values()} == {r.entry.key for r in cached_results(store)}
    else:
        assert set(found) == set(harmed)
        assert {x.damage for x in found.values()} == {FOUND_AS[attack]}
    advice = {x.rebuilt_by for x in found.values()}
    assert all("again" in text and "stage" in text for text in advice), advice


@pytest.mark.parametrize(
    "harm",
    [
        HARM,
        *(pytest.param([x], id=x.__name__, marks=pytest.mark.thorough) for x in HARM),
    ],
)
def test_a_run_makes_every_object_anew(warm: Workshop, harm: list[Attack]) -> None:
    """One object after the other harmed in the next of these ways."""
    store, before = warm.store, kinds(warm.store)
    for place, key in enumerate(objects(store)):
        harm[place % len(harm)](store, key)
    whole_again(warm, before)


@pytest.mark.thorough
@pytest.mark.parametrize("attack", [truncate, flip_a_bit, replace_by_a_link])
def test_every_result_of_a_stage_at_once(warm: Workshop, attack: Attack) -> None:
    store, before = warm.store, kinds(warm.store)
    harmed = [entry.key for entry in store.backend.entries(RESULTS)]
    for key in harmed:
        attack(store, key)
    found = verify_store(store).findings
    assert {x.key for x in found if x.key in harmed} == set(harmed)
    assert {x.damage for x in found} == {"unreadable"}
    whole_again(warm, before)


@pytest.mark.thorough
def test_every_object_of_an_object_store_at_once(
    first_run: tuple[Workshop, object],
    s3_server: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A third each truncated, flipped and deleted, and found by a machine that has no copies."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ENGINESMITH_STORE_COPIES": str(tmp_path / "copies"),
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    store = Store(f"s3://{bucket}/store")
    for folder in (OBJECTS, RESULTS):
        for entry in first_run[0].store.backend.entries(folder):
            store.backend.write(entry.key, first_run[0].store.backend.read(entry.key))
    before = kinds(store)
    harm = [truncate, flip_a_bit, delete]
    harmed = {key: harm[place % len(harm)] for place, key in enumerate(objects(store))}
    for key, attack in harmed.items():
        attack(store, key)
    found = {x.key: x.damage for x in verify_store(store).findings}
    for key, attack in harmed.items():
        assert found.get(key) == FOUND_AS.get(attack)
    shutil.rmtree(store.root / "objects")
    whole_again(Workshop(store.root, url=store.location), before)
