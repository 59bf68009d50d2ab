"""prefect.yaml: what it holds, and what is said of one that cannot be used."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.deploy.deployments import STAY, deployment, form, load_flow, read_deployments
from flows.deploy.limits import slots
from schemas.errors import InputError

ROOT = Path(__file__).parents[2]
ENTRY: dict[str, Any] = {
    "name": "one",
    "entrypoint": "flows.deployed.build",
    "work_pool": {"name": "enginesmith"},
}


def file_of(folder: Path, *entries: dict[str, Any]) -> Path:
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": list(entries)}))
    return file


def test_ours_holds_build_compare_and_a_nightly_with_a_time_zone() -> None:
    found = {each.name: each for each in read_deployments(ROOT / "prefect.yaml")}
    assert {"build", "nightly", "compare"} <= set(found)
    (schedule,) = found["nightly"].schedules
    assert schedule.timezone
    limit = found["nightly"].concurrency_limit
    assert limit
    assert (limit.limit, limit.collision_strategy) == (1, "CANCEL_NEW")
    for each in found.values():
        assert load_flow(each.entrypoint).name == each.name


def test_prefect_deploy_would_have_a_worker_stay_where_it_is_as_well() -> None:
    assert yaml.safe_load((ROOT / "prefect.yaml").read_text())["pull"] == STAY


def test_the_form_is_flat_on_top_nested_below_and_has_no_union_of_two() -> None:
    schema = form(load_flow("flows.deployed.build"))
    assert list(schema["properties"]) == ["name", "job", "overrides", "refresh"]
    parts = [schema, *schema["definitions"].values()]
    for part in parts:
        for name, field in part.get("properties", {}).items():
            arms = [arm for arm in field.get("anyOf", []) if arm.get("type") != "null"]
            objects = [arm for arm in arms if "$ref" in arm]
            assert len(objects) <= 1, f"{name}: Prefect's form would merge {objects}"


def test_fields_keep_their_order_in_a_database_that_sorts_keys() -> None:
    schema = form(load_flow("flows.deployed.build"))
    job = schema["definitions"]["Job"]["properties"]
    ordered = sorted(job, key=lambda name: job[name]["position"])
    assert ordered[:3] == ["name", "model", "data"]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([ENTRY, ENTRY], "two deployments are named one: rename one"),
        ([ENTRY | {"entrypoint": "flows/deployed.py:build"}], "deployments.0.entrypoint"),
        ([ENTRY | {"colour": "red"}], "deployments.0.colour"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, entries: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_deployments(file_of(tmp_path, *entries))


def test_there_being_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file: correct the path"):
        read_deployments(tmp_path / "prefect.yaml")


@pytest.mark.parametrize("entrypoint", ["flows.nosuch.build", "flows.deployed.nosuch"])
def test_an_entry_point_to_nothing_is_refused(entrypoint: str) -> None:
    with pytest.raises(InputError, match=r"correct prefect\.yaml"):
        load_flow(entrypoint)


@pytest.mark.parametrize(("cron", "zone"), [("61 2 * * *", "UTC"), ("0 2 * * *", "Mars/Olympus")])
def test_a_schedule_that_never_comes_is_refused(tmp_path: Path, cron: str, zone: str) -> None:
    entry = ENTRY | {"schedules": [{"cron": cron, "timezone": zone}]}
    (wanted,) = read_deployments(file_of(tmp_path, entry))
    with pytest.raises(InputError, match="five cron fields and an IANA time zone"):
        deployment(wanted)


def test_limits_are_given_as_name_and_number() -> None:
    assert slots(["gpu=2", "gpu-b"]) == {"gpu": 2, "timing": 1, "gpu-b": 1}
    with pytest.raises(InputError, match="NAME=N"):
        slots(["gpu=none"])
