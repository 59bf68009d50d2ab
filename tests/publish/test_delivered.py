"""Where FP32 is delivered, FP32 is what is laid out, described and counted in the history."""

import re
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from flows.comparison import find
from schemas.calibrate import CalibrationTable, TensorRange
from schemas.engine import EngineResult, OpenVinoConfig
from schemas.evaluate import EvaluationReport
from schemas.report import BuiltEngine, EngineReport, NamedPlan, ReportResult
from tasks.artifacts.store import Store
from tasks.engine.build import build_engine
from tasks.history.figures import figures_of
from tasks.report.layout import lay_out
from tasks.report.markdown import render
from tasks.report.page.page import render_page
from tasks.runtimes.onnx_file import read_structure
from tasks.runtimes.plans import check_plan, read_manifest
from tests.publish.conftest import Run, tiny_network

WHY = "INT8 lost 18.83 points, at most 5 allowed"


@dataclass(frozen=True)
class Delivered:
    """The run, its OpenVINO engine, its folder, and what report and page say."""

    run: Run
    engine: EngineReport
    folder: Path
    markdown: str
    page: str


@pytest.fixture
def delivered(run: Run, tmp_path: Path) -> Delivered:
    """The run with a real FP32 plan that is delivered instead of the INT8 one."""
    store, graph, plan = run.store, tmp_path / "tiny.onnx", tmp_path / "float32.plan"
    tiny_network(graph)
    manifest, layers = build_engine(graph, "openvino", "float32", OpenVinoConfig(), plan)
    engine = run.report.engines[0].model_copy(
        update={
            "baseline": manifest,
            "baseline_layers": layers,
            "baseline_plan": store.put_file("plan", plan),
            "baseline_graph": store.put_file("onnx", graph),
            "delivered": "float32",
            "delivered_why": WHY,
        }
    )
    report = run.report.model_copy(update={"engines": (engine, *run.report.engines[1:])})
    grid = TensorRange(minimum=0, maximum=1, scale=0.1, zero_point=128)
    table = CalibrationTable(images=1, images_sha256="", tensors={"x": grid})
    markdown, page = render(report), render_page(report, table, {}, ())
    result = ReportResult(
        passed=True,
        json_report=store.put_model("report", report),
        markdown=store.put_bytes("report-text", markdown.encode(), ".md"),
        page=store.put_bytes("report-page", page.encode(), ".html"),
    )
    folder = lay_out(store, "tiny", result)
    return Delivered(Run(store, report, result.json_report.sha256), engine, folder, markdown, page)


def stored(store: Store, named: NamedPlan) -> EngineResult:
    assert named.plan is not None
    return EngineResult(
        plan=named.plan,
        manifest=store.put_model("manifest", named.manifest),
        layers=store.put_model("layers", named.layers),
    )


@pytest.mark.parametrize(
    ("name", "precision"), [("openvino", "float32"), ("openvino.int8", "int8")]
)
def test_plan_graph_manifest_and_digest_of_a_name_belong_together(
    delivered: Delivered, name: str, precision: str
) -> None:
    plan = delivered.folder / f"{name}.plan"
    manifest = read_manifest(plan)
    check_plan(plan, manifest)
    assert manifest.precision == precision
    operators = {node.op_type for node in onnx.load(plan.with_suffix(".onnx")).graph.node}
    assert "Conv" in operators
    assert ("QuantizeLinear" in operators) == (precision == "int8")
    assert f"| {name} | `{manifest.plan_sha256}` |" in delivered.markdown
    row = f'<td>{name}.plan</td><td class="text"><code>sha256 {manifest.plan_sha256}</code>'
    assert row in delivered.page
    pattern = rf"Manifest of {name}\.plan</summary><pre[^>]*>(.*?)</pre>"
    shown = re.search(pattern, delivered.page, flags=re.DOTALL)
    assert shown is not None
    assert manifest.plan_sha256 in shown[1]


def test_report_and_page_say_that_float_is_delivered_and_why(delivered: Delivered) -> None:
    for text in (delivered.markdown, delivered.page):
        assert f"openvino.plan is float32: {WHY}" in text
    assert "openvino: delivered<b>FP32</b>" in delivered.page
    assert "openvino: convs on INT8" not in delivered.page


def test_a_comparison_still_reads_the_repaired_graph(delivered: Delivered) -> None:
    found = find(delivered.run.store, str(delivered.folder)).graph("openvino")
    assert found == delivered.folder / "openvino.int8.onnx"
    assert any(node.op_type == "QuantizeLinear" for node in read_structure(found).graph.node)


def test_the_history_counts_the_plan_that_is_delivered(delivered: Delivered) -> None:
    store, (first, *others) = delivered.run.store, delivered.run.report.accuracies
    float32, int8 = (stored(store, x) for x in delivered.engine.plans)
    built = BuiltEngine.model_construct(target="openvino", int8=int8, float32=float32, latency=None)
    reference = first.model_copy(update={"name": "torch float32", "top1": 0.75, "drop_points": 0.0})
    lossy = first.model_copy(update={"top1": 0.1, "drop_points": 65.0})
    evaluation = EvaluationReport(accuracies=(reference, lossy, *others), gates=())
    graph = delivered.engine.graph
    (now,) = figures_of(store, evaluation, [built], [(float32, graph)])
    manifest = delivered.engine.baseline
    assert (now.name, now.plan_sha256) == ("openvino float32", manifest.plan_sha256)
    assert (now.top1, now.drop_points, now.speedups) == (0.75, 0.0, ())
    kernels = delivered.engine.baseline_layers.kernels
    assert (now.plan_bytes, now.kernels) == (manifest.plan_bytes, kernels)
    (now,) = figures_of(store, evaluation, [built], [(int8, graph)])
    assert (now.name, now.top1, now.drop_points) == ("openvino", 0.1, 65.0)
