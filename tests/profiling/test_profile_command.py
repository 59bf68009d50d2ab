"""``enginesmith profile`` times what it is given, and says in one line why it cannot."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from flows.cli import app
from schemas.engine import OpenVinoConfig
from schemas.errors import InputError
from schemas.profiling import LatencyReport
from tasks.engine.build import build_engine
from tasks.engine.half import to_half
from tasks.runtimes import gpu, tensorrt_rtx
from tasks.runtimes.openvino import OpenVinoRuntime
from tasks.runtimes.plans import manifest_path, read_manifest, sealed, write_beside

QUICK = ["--rounds", "2", "--calls", "4", "--warmup", "1", "--threads", "1"]


def run(*arguments: object) -> LatencyReport:
    result = CliRunner().invoke(app, ["profile", *map(str, arguments), *QUICK, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return LatencyReport.model_validate(json.loads(result.stdout))


def names(report: LatencyReport) -> list[str]:
    return [row.name for row in report.latencies]


def test_an_onnx_file_is_the_whole_thing_on_openvino_with_what_else_runs_it(graphs: Path) -> None:
    report = run(graphs / "float.onnx")
    assert names(report)[:2] == ["openvino float32 float.onnx", "onnxruntime float32"]
    first = report.latencies[0]
    assert first.calls == 8
    assert first.image_size_px == (8, 8)
    assert first.min_ms <= first.median_ms <= first.p90_ms <= first.p95_ms <= first.p99_ms
    assert first.images_per_second == pytest.approx(1000 / first.median_ms)
    ratio = report.ratios[0]
    assert (ratio.of, ratio.over) == tuple(names(report)[:2])
    assert ratio.ratio_low <= ratio.ratio_high
    # A third of the calls, rounded up.
    assert report.latencies[1].calls == 4


def test_every_batch_and_size_is_measured(graphs: Path) -> None:
    report = run(
        graphs / "int8.onnx", "--vs", graphs / "float.onnx",
        "--batch", 1, "--batch", 3, "--size", 8, "--size", 16,
    )  # fmt: skip
    measured = {(row.batch_size, row.image_size_px) for row in report.latencies}
    assert measured == {(n, (size, size)) for n in (1, 3) for size in (8, 16)}
    assert len(report.latencies) == 8
    assert [row.precision for row in report.latencies[:2]] == ["int8", "float32"]


def test_a_plan_against_the_other_engine(graphs: Path) -> None:
    report = run(graphs / "openvino.plan", "--vs", graphs / "int8.onnx")
    assert names(report) == ["openvino int8 openvino.plan", "openvino int8 int8.onnx"]
    report = run(graphs / "int8.onnx", "--vs", "onnxruntime")
    assert names(report) == ["openvino int8 int8.onnx", "onnxruntime int8 int8.onnx"]


@pytest.mark.parametrize(
    ("file", "options"), [("a.plan", []), ("a.onnx", []), ("a.onnx", ["--size", 16])]
)
def test_files_of_one_name_are_told_apart_by_as_many_folders_as_it_takes(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, options: list[Any]
) -> None:
    """A night's plan against the one of the night before, where both folders have one name."""
    nights = [tmp_path / night / "runs" / "q" for night in ("mon", "tue")]
    for scale, night in enumerate(nights, 1):
        night.mkdir(parents=True)
        model = onnx.load(graphs / "int8.onnx")
        next(x for x in model.graph.initializer if x.name == "scale").CopyFrom(
            numpy_helper.from_array(np.array(scale / 10, np.float32), "scale")
        )
        onnx.save(model, night / "a.onnx")
        built = build_engine(
            night / "a.onnx", "openvino", "int8", OpenVinoConfig(), night / "a.plan"
        )
        write_beside(night / "a.plan", *built)
    opened: list[bytes] = []
    open_plan = OpenVinoRuntime.open

    def noted(self: OpenVinoRuntime, plan: Path, **options: Any) -> Any:
        opened.append(plan.read_bytes())
        return open_plan(self, plan, **options)

    monkeypatch.setattr(OpenVinoRuntime, "open", noted)
    report = run(nights[0] / file, "--vs", nights[1] / file, *options)
    assert names(report) == [f"openvino int8 {night}/runs/q/{file}" for night in ("mon", "tue")]
    assert len(set(opened)) == len(opened) == 2


def test_a_folder_is_its_plans(graphs: Path) -> None:
    assert names(run(graphs)) == ["openvino int8 openvino.plan"]


def test_a_plan_for_another_gpu_is_refused(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "rtx.plan"
    shutil.copyfile(graphs / "openvino.plan", plan)
    version = tensorrt_rtx.TensorRtRtxRuntime().fingerprint()
    manifest = read_manifest(graphs / "openvino.plan").model_copy(
        update={
            "engine": "tensorrt_rtx",
            "options": {"compute_capability": "8.6"},
            "fingerprint": version,
        }
    )
    manifest_path(plan).write_text(sealed(manifest).model_dump_json())
    with pytest.raises(InputError, match=r"cannot be timed here \(no NVIDIA GPU here\)"):
        run(plan)
    other = gpu.Gpu("NVIDIA L4", "8.9", "580.1")
    monkeypatch.setattr(tensorrt_rtx, "find_gpu", lambda: other)
    monkeypatch.setattr(tensorrt_rtx.TensorRtRtxRuntime, "cannot_run", lambda _self: None)
    with pytest.raises(InputError, match=r"built for compute capability 8\.6, and NVIDIA L4 has 8"):
        run(plan)


def test_a_graph_is_named_after_what_it_computes_in_not_after_its_images(
    graphs: Path, tmp_path: Path
) -> None:
    to_half(graphs / "float.onnx", tmp_path / "half.onnx")
    mixed = onnx.load(graphs / "int8.onnx")
    # Its classifier in float16, as surgery leaves it with --precision int8+fp16.
    weights = next(x for x in mixed.graph.initializer if x.name == "fc")
    half = numpy_helper.to_array(weights).astype(np.float16)
    weights.CopyFrom(numpy_helper.from_array(half, "fc"))
    classifier = mixed.graph.node[-1]
    before = helper.make_node("Cast", ["f"], ["f16"], to=TensorProto.FLOAT16)
    after = helper.make_node("Cast", ["l16"], ["logits"], to=TensorProto.FLOAT)
    classifier.input[0], classifier.output[0] = "f16", "l16"
    mixed.graph.node.insert(len(mixed.graph.node) - 1, before)
    mixed.graph.node.append(after)
    onnx.save(mixed, tmp_path / "mixed.onnx")
    report = run(tmp_path / "half.onnx", "--vs", tmp_path / "mixed.onnx")
    assert names(report) == ["openvino float16 half.onnx", "openvino int8+fp16 mixed.onnx"]
    assert [row.precision for row in report.latencies] == ["float16", "int8+fp16"]


def multi_input(path: Path) -> Path:
    values = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 3, 4, 4]) for x in "abc"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "g", values[:2], [values[2]]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def of_bytes(path: Path) -> Path:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 3, 4, 4])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 4, 4])
    node = helper.make_node("Cast", ["images"], ["out"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "g", [images], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "there is no file or folder"),
        (["flat.onnx", "--size", 16], r"flat\.onnx does not take images of 16x16"),
        (["openvino.plan", "--size", 16], r"is for images of 3x8x8: profile its ONNX file"),
        (["openvino.plan", "--vs", "onnxruntime"], "is a plan, compiled already"),
        (["float.onnx", "--vs", "{}/float.onnx"], "named twice"),
        (["float.onnx", "--vs", "{}/../bigger.onnx"], "profile them at one --size"),
        (["float.onnx", "--baseline", "tensorflow"], "no such baseline: choose from torch, "),
        (
            ["float.onnx", "--engine", "tensorrt_rtx"],
            "tensorrt_rtx cannot be timed here .no NVIDIA GPU",
        ),
        (["../empty"], "holds no plan that runs here"),
        (["../two.onnx"], "give a network of one input, images"),
        (["../bytes.onnx"], "takes images of type uint8, and the harness gives float32"),
    ],
)
def test_what_cannot_be_timed_is_one_line(graphs: Path, arguments: list[Any], message: str) -> None:
    from tests.profiling.conftest import small_network

    outside = graphs.parent
    (outside / "empty").mkdir(exist_ok=True)
    small_network(outside / "bigger.onnx", size=16)
    multi_input(outside / "two.onnx")
    of_bytes(outside / "bytes.onnx")
    first, *others = (str(x).replace("{}", str(graphs)) for x in arguments)
    with pytest.raises(InputError, match=message) as refused:
        run(graphs / first, *others)
    assert "\n" not in str(refused.value)


def test_a_table_for_people(graphs: Path) -> None:
    result = CliRunner().invoke(app, ["profile", str(graphs / "float.onnx"), *QUICK])
    assert "median ms" in result.stdout
    assert "times as fast as onnxruntime float32" in result.stdout
    assert np.all([len(line) < 200 for line in result.stdout.splitlines()])
