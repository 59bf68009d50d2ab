"""FP16, and INT8 with FP16, beside the INT8 and FP32 plans of one job."""

import asyncio
import shutil

import pytest
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from schemas.engine import EnginesConfig
from schemas.job import Job
from tasks.report.layout import run_folder
from tests.flows.conftest import Workshop, small_job

ENGINES = {
    "openvino": None,
    "tensorrt_rtx": {"contract": {"convs_int8": "all"}},
    "also_precisions": ["float16", "int8+fp16"],
}


def job() -> Job:
    return small_job(engines=ENGINES)


@pytest.fixture(scope="module")
def two_runs(
    first_run: tuple[Workshop, object], tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    root = tmp_path_factory.mktemp("further") / "artifacts"
    shutil.copytree(first_run[0].root, root)
    return Workshop(root)


def test_they_are_built_proven_delivered_and_shown(two_runs: Workshop) -> None:
    result = two_runs.run(job())
    report = two_runs.report(result)
    (engine,) = report.engines
    half, mixed = engine.further
    assert half.manifest.precision == "float16"
    dtypes = {x.input_dtypes[0] for x in half.layers.layers if x.is_convolution}
    assert dtypes == {"float16"}
    assert mixed.manifest.precision == "int8+fp16"
    assert len(mixed.layers.integer_convolutions) == 21
    assert mixed.layers.float_convolutions == ()
    names = {gate.name for gate in report.gates}
    assert "tensorrt_rtx int8+fp16: surgery keeps values" in names
    assert "int8+fp16 tensorrt_rtx contract convs_int8" in names
    folder = run_folder(two_runs.store, "small")
    for name in ("tensorrt_rtx.float16.plan", "tensorrt_rtx.int8-fp16.plan"):
        assert (folder / name).is_file()
        assert (folder / f"{name}.manifest.json").is_file()
    assert "| tensorrt_rtx | float16 |" in (folder / "report.md").read_text()
    page = (folder / "report.html").read_text()
    assert "<td>float16</td>" in page
    assert "<td>int8+fp16</td>" in page


def test_leaving_them_out_again_builds_nothing(two_runs: Workshop) -> None:
    two_runs.run(job())
    two_runs.run(small_job(engines={**ENGINES, "also_precisions": []}))
    assert not {name for name in two_runs.ran() if name.startswith(("engine", "surgery"))}


def test_each_build_has_a_progress_artifact_that_ended_at_100(two_runs: Workshop) -> None:
    two_runs.run(job(), refresh=("engine",))

    async def of(key: str) -> float:
        async with get_client() as client:
            response = await client._client.get(f"/artifacts/{key}/latest")
            response.raise_for_status()
            found = response.json()
        assert found["type"] == "progress"
        return float(found["data"])

    for precision in ("int8", "float32", "float16", "int8-fp16"):
        assert asyncio.run(of(f"build-tensorrt-rtx-{precision}")) == 100.0


def test_where_the_engine_runs_they_are_timed_beside_the_others(warm: Workshop) -> None:
    job = small_job(engines={"openvino": {}, "also_precisions": ["float16"]})
    report = warm.report(warm.run(job))
    (engine,) = report.engines
    (half,) = engine.further
    assert half.manifest.precision == "float16"
    # Float32's weights in half the bytes.
    assert half.manifest.plan_bytes < 0.6 * engine.baseline.plan_bytes
    (measured,) = report.latencies
    names = [x.name for x in measured.latencies]
    assert names[:3] == ["openvino int8", "openvino float32", "openvino float16"]
    assert "openvino float16" in [x.over for x in measured.ratios]
    folder = run_folder(warm.store, "small")
    assert (folder / "openvino.float16.plan.manifest.json").is_file()
    for file in ("report.md", "report.html"):
        assert "times as fast as openvino float16" in (folder / file).read_text()


@pytest.mark.parametrize(
    ("engines", "line"),
    [
        ({"openvino": {}, "also_precisions": ["int8+fp16"]}, "add tensorrt or tensorrt_rtx"),
        ({"tensorrt_rtx": {}, "also_precisions": ["float16", "float16"]}, "name each once"),
        ({"tensorrt_rtx": {}, "also_precisions": ["int4"]}, "int8\\+fp16"),
    ],
)
def test_what_cannot_be_meant(engines: dict[str, object], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        EnginesConfig.model_validate(engines)
