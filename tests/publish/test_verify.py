"""Whatever happens to a published file is found, named, and mended by publishing again."""

import pytest

from flows.store_upkeep import verify_store
from tests.artifacts.attacks import EVERYWHERE, FOUND_AS, Attack, delete, replace_by_a_link
from tests.publish.conftest import Run
from tests.publish.test_publish import published


@pytest.mark.parametrize("attack", [*EVERYWHERE, replace_by_a_link])
def test_every_file_of_a_version(run: Run, attack: Attack) -> None:
    version = published(run)
    assert verify_store(run.store).findings == ()
    keys = [
        entry.key
        for entry in run.store.backend.entries(f"published/{run.job}/versions")
        if not entry.key.endswith("version.json")
    ]
    assert len(keys) > 5
    for key in keys:
        (run.store.root / key).chmod(0o644)
        attack(run.store, key)
    found = {x.key: x for x in verify_store(run.store).findings}
    assert set(found) == set(keys)
    assert {x.damage for x in found.values()} == {FOUND_AS.get(attack, "missing")}
    assert all(f"enginesmith publish {run.job}" in x.rebuilt_by for x in found.values())
    assert published(run) == version
    assert verify_store(run.store).findings == ()


@pytest.mark.parametrize("attack", [a for a in EVERYWHERE if a is not delete])
def test_what_a_version_says_of_itself_and_which_is_the_latest(run: Run, attack: Attack) -> None:
    version = published(run)
    pointer = f"published/{run.job}/latest.json"
    manifest = f"{version.relative_to(run.store.root).as_posix()}/version.json"
    (version / "version.json").chmod(0o644)
    for key in (pointer, manifest):
        attack(run.store, key)
    found = {x.key: x.damage for x in verify_store(run.store, remove=True).findings}
    assert found == {manifest: "damaged", pointer: "unreadable"}
    assert published(run) == version
    assert verify_store(run.store).findings == ()
