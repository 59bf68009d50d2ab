"""A nightly ends with every good build built, whatever becomes of the others; by real runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from typer.testing import CliRunner

from flows.cli import app
from schemas.history import NightlySummary
from tasks.artifacts.store import ARTIFACTS_VARIABLE, Store
from tasks.history.records import read_history
from tests.flows.conftest import Workshop, small_job


def write(folder: Path, name: str, **changes: Any) -> None:
    document = small_job(name=name, publish={}, **changes).model_dump(mode="json")
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def run_nightly(root: Path, jobs: Path) -> tuple[Any, NightlySummary]:
    from flows.nightly import nightly

    settings = {PREFECT_LOCAL_STORAGE_PATH: root / "results"}
    with temporary_settings(settings), pytest.MonkeyPatch.context() as patch:
        patch.setenv(ARTIFACTS_VARIABLE, str(root))
        patch.setenv("ENGINESMITH_JOBS", str(jobs))
        state: Any = nightly(on="here", return_state=True)
    return state, state.result(raise_on_failure=False)


def pointer(store: Store, job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.backend.read(f"published/{job}/latest.json"))
    return found


def test_one_broken_job_of_three_is_a_named_failure_beside_two_good_builds(
    warm: Workshop, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    write(jobs, "one")
    write(jobs, "two")
    (jobs / "broken.yaml").write_text("name: broken\ncalibratoin: {}\n", encoding="utf-8")
    state, summary = run_nightly(warm.root, jobs)
    assert state.is_failed()
    outcomes = {outcome.job: outcome for outcome in summary.outcomes}
    assert [outcomes[x].outcome for x in ("one", "two", "broken")] == ["passed", "passed", "failed"]
    assert "did you mean calibration?" in outcomes["broken"].detail
    assert outcomes["one"].sequence == 1
    before = pointer(warm.store, "one")

    # The next night leaves half the network in float: all the job's own gates hold, its plan grows.
    write(jobs, "one", quantization={"exclude": ["stages.2"]})
    write(jobs, "two", accuracy={"min_top1": 0.999})
    _, summary = run_nightly(warm.root, jobs)
    outcomes = {outcome.job: outcome for outcome in summary.outcomes}
    assert outcomes["two"].outcome == "gates failed"
    assert outcomes["two"].sequence == 2
    assert outcomes["one"].outcome == "gates failed"
    assert "regression: openvino plan size" in outcomes["one"].detail
    assert "changed at calibrate: quantization.exclude.0 none -> stages.2" in outcomes["one"].detail
    assert pointer(warm.store, "one") == before
    assert [build.passed for build in read_history(warm.store, "one").builds] == [True, False]


def test_an_unknown_job_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path, "quick")
    said = CliRunner().invoke(
        app, ["nightly", "quik", "--jobs", str(tmp_path), "--artifacts", str(tmp_path / "a")]
    )
    assert said.exception is not None
    assert "did you mean quick?" in str(said.exception)
