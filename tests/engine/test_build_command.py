"""``enginesmith build`` and ``inspect`` on any ONNX file, without a job."""

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import typer
from typer.testing import CliRunner, Result

from flows.commands import build, inspect
from schemas.errors import InputError

app = typer.Typer()
app.command(name="build")(build.build)
app.command(name="inspect")(inspect.inspect)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(x) for x in arguments])


def line(result: Result) -> str:
    """The one line that the command line prints of a user's mistake."""
    assert isinstance(result.exception, InputError)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_a_plan_with_its_manifest_and_layers(int8_graph: Path, tmp_path: Path) -> None:
    result = run("build", int8_graph, "-o", tmp_path / "x.plan", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["precision"] == "int8"
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        "x.plan",
        "x.plan.layers.json",
        "x.plan.manifest.json",
    ]
    shown = run("inspect", tmp_path / "x.plan")
    assert "convolutions: 20 INT8, 0 float" in shown.stdout
    document = json.loads(run("inspect", tmp_path / "x.plan", "--json").stdout)
    assert document["summary"]["integer_convolutions"] == 20


def test_building_again_does_not_call_the_builder(
    int8_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("build", int8_graph, "-o", tmp_path / "x.plan", "--engine", "tensorrt_rtx")
    assert run(*arguments).exit_code == 0

    def called(*_: object) -> None:
        raise AssertionError("the builder was called")

    monkeypatch.setattr("tasks.runtimes.tensorrt_rtx.build_plan", called)
    assert "up to date" in run(*arguments).stdout
    changed = run(*arguments, "--option", "compute_capability=8.9")
    assert "the builder was called" in str(changed.exception)
    assert (tmp_path / "x.plan").exists()
    refreshed = run(*arguments, "--refresh")
    assert "the builder was called" in str(refreshed.exception)


def test_a_broken_contract_is_exit_status_1(cut_graph: Path, tmp_path: Path) -> None:
    result = run(
        *("build", cut_graph, "-o", tmp_path / "x.plan", "--engine", "tensorrt_rtx"),
        *("--option", "contract.standalone_adds=0", "--option", "contract.convs_int8=all"),
    )
    assert result.exit_code == 1
    assert "BROKEN: tensorrt_rtx contract standalone_adds" in result.stdout
    assert "/layer1/layer1.0/Add" in result.stdout
    assert "held: tensorrt_rtx contract convs_int8" in result.stdout


def test_the_contract_is_held_against_a_float_plan_too(float_graph: Path, tmp_path: Path) -> None:
    arguments = ("build", float_graph, "-o", tmp_path / "x.plan")
    few = ("--option", "contract.max_kernels=1", "--option", "contract.convs_int8=all")
    for _ in ("built", "up to date"):
        result = run(*arguments, *few)
        assert result.exit_code == 1, result.stdout
        assert "BROKEN: openvino contract max_kernels" in result.stdout
        assert "0 of 20 convolutions INT8" in result.stdout
    assert run(*arguments, "--option", "contract.max_kernels=1000").exit_code == 0


@pytest.mark.parametrize("precision", ["int8", "int8+fp16"])
def test_a_float_graph_makes_no_int8_plan(
    float_graph: Path, tmp_path: Path, precision: str
) -> None:
    result = run("build", float_graph, "-o", tmp_path / "x.plan", "--precision", precision)
    assert f"--precision {precision}: " in line(result)
    assert "computes in float32: leave --precision out, or give a graph with Q/DQ" in line(result)
    assert list(tmp_path.iterdir()) == []


def test_an_int8_graph_makes_no_float32_plan(int8_graph: Path, tmp_path: Path) -> None:
    result = run("build", int8_graph, "-o", tmp_path / "x.plan", "--precision", "float32")
    assert "computes in int8: leave --precision out, or give a graph without Q/DQ" in line(result)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("compute_capabilty=8.9", "did you mean compute_capability?"),
        ("compute_capability=ampere", "compute_capability=ampere: String should match"),
        ("batch_sizes=[8,1,2]", "give the smallest, usual and largest"),
        ("pin_timings=true", "name a folder with timing_cache"),
        ("optimization_level=9", "less than or equal to 5"),
        ("contract", "write it as field=value"),
    ],
)
def test_wrong_options(int8_graph: Path, tmp_path: Path, option: str, message: str) -> None:
    arguments = ("build", int8_graph, "-o", tmp_path / "x", "--engine", "tensorrt_rtx")
    assert message in line(run(*arguments, "--option", option))
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_graphs(int8_graph: Path, tmp_path: Path) -> None:
    plan = tmp_path / "out" / "x.plan"
    plan.parent.mkdir()
    assert "no ONNX file" in line(run("build", tmp_path / "none.onnx", "-o", plan))
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(int8_graph.read_bytes()[:100_000])
    assert "cut short" in line(run("build", cut, "-o", plan))
    cut.write_bytes(b"")
    assert "holds no nodes" in line(run("build", cut, "-o", plan))
    assert "there is no folder" in line(run("build", int8_graph, "-o", tmp_path / "no" / "x"))
    assert "is a folder" in line(run("build", int8_graph, "-o", plan.parent))
    assert list(plan.parent.iterdir()) == []


def test_external_data_is_part_of_the_graph(int8_graph: Path, tmp_path: Path) -> None:
    graph, data = tmp_path / "graph.onnx", tmp_path / "graph.data"
    onnx.save(onnx.load(int8_graph), graph, save_as_external_data=True, location=data.name)
    arguments = ("build", graph, "-o", tmp_path / "x.plan")
    assert run(*arguments).exit_code == 0
    assert "up to date" in run(*arguments).stdout
    weights = bytearray(data.read_bytes())
    weights[len(weights) // 2] ^= 1
    data.write_bytes(weights)
    assert "built in" in run(*arguments).stdout
    data.unlink()
    assert "in graph.data, which is not there: copy that file too" in line(run(*arguments))


def test_external_data_outside_the_graphs_folder(int8_graph: Path, tmp_path: Path) -> None:
    model = onnx.load(int8_graph)
    onnx.save(model, tmp_path / "x.onnx", save_as_external_data=True, location="x.data")
    model = onnx.load(tmp_path / "x.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../etc/passwd"
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    result = run("build", tmp_path / "x.onnx", "-o", tmp_path / "x.plan")
    assert "outside its own folder" in line(result)


def test_an_engine_that_is_not_installed(int8_graph: Path, tmp_path: Path) -> None:
    result = run("build", int8_graph, "-o", tmp_path / "x", "--engine", "tensorrt")
    assert "TensorRT is not installed: run in NVIDIA's container" in line(result)


def test_help_is_quick_because_no_engine_is_imported() -> None:
    script = (
        "import sys; from flows.commands import build, inspect;"
        "heavy = {'torch', 'onnx', 'openvino', 'tensorrt_rtx', 'numpy', 'pydantic'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
