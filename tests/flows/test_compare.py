"""Two real runs side by side: one as usual, one with the last layer in float and more images."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flows.comparison import compare_runs, drawn, find
from schemas.errors import InputError
from schemas.report import ReportResult
from tasks.compare.compare import compare as compare_reports
from tasks.compare.markdown import render
from tasks.compare.words import difference_of
from tests.flows.conftest import Workshop, small_job
from tests.flows.test_cli import enginesmith


@pytest.fixture(scope="module")
def two_runs(
    first_run: tuple[Workshop, ReportResult], tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    """Builds 1 and 2 of one job."""
    import shutil

    folder = tmp_path_factory.mktemp("two") / "artifacts"
    shutil.copytree(first_run[0].root, folder)
    workshop = Workshop(folder)
    workshop.run(small_job(quantization={"last_layer": "float"}))
    return workshop


def test_what_was_changed_is_found_in_job_network_plan_and_graph(two_runs: Workshop) -> None:
    store = two_runs.store
    found = compare_runs(find(store, "small@1"), find(store, "small"))
    assert [(x.name, x.left, x.right) for x in found.config] == [
        ("quantization.last_layer", "int8", "float")
    ]
    assert ("fc", "INT8", "float") in [(x.name, x.left, x.right) for x in found.modules]
    engine = found.engines[0]
    gemm = next(row for row in engine.layers if any("fc" in node for node in row.pair.nodes))
    assert not gemm.same
    convolution = next(row for row in engine.layers if row.pair.left[0].is_convolution)
    assert convolution.same
    assert engine.graph is not None
    assert not engine.graph.same
    assert found.environment == ()
    ratio = next(x for x in engine.figures if x.unit == "times")
    assert ratio.left is not None
    speedup = find(store, "small@1").report.latencies[0].speedups[0]
    assert (ratio.left.value, ratio.left.low) == (speedup.ratio, speedup.ratio_low)


def test_a_run_is_the_same_as_itself(two_runs: Workshop) -> None:
    run = find(two_runs.store, "small")
    found = compare_runs(run, run)
    assert found.cautions[0] == "both are the same run"
    assert (found.config, found.gates, found.modules) == ((), (), ())
    assert all(row.same for row in found.engines[0].layers)
    assert found.engines[0].graph is not None
    assert found.engines[0].graph.same
    assert {difference_of(x) for x in found.engines[0].figures} <= {"", "intervals overlap"}


def test_another_machine_version_and_images_are_said(two_runs: Workshop) -> None:
    report = find(two_runs.store, "small").report
    latency = report.latencies[0].model_copy(update={"machine": "another machine"})
    fewer = report.accuracies[0].model_copy(update={"images": 7})
    other = report.model_copy(
        update={
            "latencies": (latency,),
            "accuracies": (fewer, *report.accuracies[1:]),
            "versions": report.versions | {"torch": "1.0"},
        }
    )
    found = compare_reports(("a", "b"), report, other, {}, {})
    said = " / ".join(found.cautions)
    assert "another machine" in said
    assert "milliseconds cannot be compared" in said
    assert f"torch {report.versions['torch']} -> 1.0" in said
    assert "accuracy was measured on different images (300 of dataset" in said
    assert all(difference_of(x) == "" for x in found.engines[0].figures if x.unit == "ms")


def test_the_command_prints_json_and_a_page_of_one_file(two_runs: Workshop, tmp_path: Path) -> None:
    page = tmp_path / "compared.html"
    where = ("--artifacts", two_runs.root)
    done = enginesmith("compare", "small@1", "small@2", *where, "--html", page, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"][0]["name"] == "quantization.last_layer"
    text = page.read_text(encoding="utf-8")
    assert "quantization.last_layer" in text
    assert text.count('<svg class="graph"') == 2
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!data:|#)', markup)
    plain = enginesmith("compare", "small@1", "small@2", *where)
    assert "fc" in plain.stdout
    assert "\x1b[" not in plain.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smal", "did you mean small?"),
        ("small@9", "has no build 9: did you mean small@"),
        ("nowhere@1", "no build of 'nowhere' has finished"),
    ],
)
def test_a_run_that_is_not_there_is_named(two_runs: Workshop, name: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        find(two_runs.store, name)


def test_a_graph_that_was_collected_is_said_and_the_rest_compared(
    two_runs: Workshop, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(two_runs.root, tmp_path / "artifacts")
    store = Workshop(tmp_path / "artifacts").store
    left = find(store, "small@1")
    (store.root / left.report.engines[0].graph.path).unlink()
    found = compare_runs(left, find(store, "small"))
    assert found.engines[0].graph is None
    assert "is missing from" in found.engines[0].graph_note
    assert drawn(left, find(store, "small"))["openvino"][0] is None
    assert found.engines[0].layers


def test_the_flow_leaves_an_artifact(two_runs: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client

    from flows.compare import compare
    from tasks.artifacts.store import ARTIFACTS_VARIABLE

    monkeypatch.setenv(ARTIFACTS_VARIABLE, str(two_runs.root))
    state: Any = compare("small@1", "small", return_state=True)
    assert state.is_completed()
    # Not read_artifacts: what Prefect's client leaves out there, its server refuses as null.
    wanted = {"artifacts": {"key": {"any_": ["compare-small-1-small"]}}}
    with get_client(sync_client=True) as client:
        made = client.request("POST", "/artifacts/filter", json=wanted).json()
    assert made[0]["data"] == render(
        compare_runs(find(two_runs.store, "small@1"), find(two_runs.store, "small"))
    )
    refused: Any = compare("small@1", "smal", return_state=True)
    assert (refused.name, "did you mean small?" in refused.message) == ("Bad input", True)
