"""A night on the server: its jobs are runs on the work pool, and none stops the others."""

import json
from typing import Any

import pytest
import yaml
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from flows.store_upkeep import verify_store
from flows.submit import find_deployment
from tasks.artifacts.store import Store
from tasks.history.records import read_history
from tests.operations.conftest import Service, job_document
from tests.operations.test_service import Done, artifact

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

NIGHT = ["night-one", "night-two", "night-three"]


def write(service: Service, name: str, **changes: Any) -> None:
    document = job_document(name=name, publish={}, **changes)
    (service.jobs / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def latest(store: Store, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.backend.read(f"published/{job}/latest.json"))
    return found


def message(run: FlowRun) -> str:
    assert run.state is not None
    return run.state.message or ""


def test_two_good_builds_one_named_failure_and_its_latest_where_it_was(
    service: Service, first_submit: Done
) -> None:
    assert first_submit.returncode == 0
    store = Store(service.state / "artifacts")
    for name in NIGHT[:2]:
        write(service, name)
    (service.jobs / "night-three.yaml").write_text("name: night-three\ncalibratoin: {}\n")
    first = service.trigger("nightly", {"jobs": NIGHT, "retention": None})
    assert message(first).startswith("1 of 3 jobs failed: night-three: ")
    assert "did you mean calibration?" in message(first)
    assert not list(store.backend.entries("published/night-three"))
    before = {name: latest(store, name) for name in NIGHT[:2]}

    # Each was a run of its own on the pool, of the deployment build, not of the nightly's process.
    with service.client() as client:
        names = FlowRunFilterName(any_=[f"build-{name}" for name in NIGHT])
        builds = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=names), limit=10, sort=FlowRunSort.NAME_ASC
        )
        deployed = find_deployment(client, "build/build").id
    assert {run.name for run in builds} == {f"build-{name}" for name in NIGHT}
    assert {(run.deployment_id, run.work_pool_name) for run in builds} == {
        (deployed, "enginesmith")
    }
    assert len({run.infrastructure_pid for run in (*builds, first)}) == 4

    # The next night the typing mistake is mended, another job leaves half its network in float, and
    # what nothing needs is removed.
    write(service, "night-one", calibration={"images": 96})
    write(service, "night-two", quantization={"exclude": ["stages.2"]})
    write(service, "night-three")
    garbage = store.put_bytes("text", b"nothing refers to this", ".txt")
    keep = {"keep_good": 1, "keep_days": 0, "grace_hours": 0}
    second = service.trigger("nightly", {"jobs": NIGHT, "retention": keep})
    said = message(second)
    assert said.startswith("1 of 3 jobs failed: night-two: ")
    assert "regression: openvino plan size" in said
    assert "changed at calibrate: quantization.exclude.0 none -> stages.2" in said
    summary = artifact(service, "nightly")
    assert summary["data"].startswith("# Nightly: 2 of 3 jobs passed")
    assert "| night-two | **gates failed** | 2 |" in summary["data"]

    assert latest(store, "night-two") == before["night-two"]
    assert latest(store, "night-one") != before["night-one"]
    assert latest(store, "night-three")
    assert [x.passed for x in read_history(store, "night-two").builds] == [True, False]
    assert not (store.root / garbage.path).exists()
    assert verify_store(store).findings == ()
    for name in NIGHT:
        for plan in json.dumps(latest(store, name)).split('"plan_sha256": "')[1:]:
            assert list(store.root.glob(f"objects/*/{plan[:64]}*")), f"{name}: its plan is gone"
