"""The commands, as a user runs them on a file of his own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from flows.commands.diff import diff
from flows.commands.lint import lint
from flows.commands.surgery import surgery
from tasks.surgery.calibration_images import load_images
from tests.surgery.qdq_builder import Builder

app = typer.Typer()
for command in (surgery, lint, diff):
    app.command(name=command.__name__)(command)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(x) for x in arguments])


@pytest.fixture
def raw(resnet18: Any, tmp_path: Path) -> Path:
    file = tmp_path / "raw.onnx"
    onnx.save(resnet18.model, file)
    return file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(4):
        Image.effect_noise((40, 36), 60 + index).convert("RGB").save(folder / f"{index}.png")
    return folder


def test_surgery_writes_a_graph_that_lint_passes(raw: Path, tmp_path: Path) -> None:
    output = tmp_path / "repaired.onnx"
    assert run("lint", raw, "--target", "tensorrt").exit_code == 1
    result = run("surgery", raw, "-o", output, "--target", "tensorrt")
    assert result.exit_code == 0, result.output
    assert "each bit-equal to the graph before it" in result.output
    assert run("lint", output, "--target", "tensorrt").exit_code == 0


def test_surgery_measures_on_the_images_given(raw: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "repaired.onnx"
    result = run(
        "surgery",
        raw,
        "-o",
        output,
        "--target",
        "openvino",
        "--calibration-images",
        images,
        "--mean",
        "0.5,0.5,0.5",
        "--std",
        "0.25",
        "--json",
    )
    document = json.loads(result.output)
    assert [entry["images"] for entry in document["parity"]] == [4, 4]
    assert document["parity"][0]["bit_equal"]
    assert {gate["name"] for gate in document["gates"]} >= {"surgery keeps values"}
    assert output.is_file()


def test_16_bit_calibration_images_keep_their_shades(tmp_path: Path) -> None:
    shades = np.arange(24, dtype=np.uint16).reshape(6, 4) * 11
    Image.fromarray(shades * 257).save(tmp_path / "0.png")
    (seen,) = load_images(tmp_path, (1, 1, 6, 4), (0.0,), (1.0,), 1)
    assert np.allclose(seen[0] * 255, shades)


def test_a_folder_without_images_is_refused(raw: Path, tmp_path: Path) -> None:
    result = run(
        "surgery",
        raw,
        "-o",
        tmp_path / "out.onnx",
        "--target",
        "openvino",
        "--calibration-images",
        tmp_path / "none",
    )
    assert "there is no folder" in str(result.exception)
    assert not (tmp_path / "out.onnx").exists()


def test_lint_prints_json(raw: Path) -> None:
    result = run("lint", raw, "--target", "tensorrt_rtx", "--json")
    document = json.loads(result.output)
    assert {"code", "severity", "node", "message", "fix"} == set(document["findings"][0])


def test_diff_says_in_words_what_surgery_did(raw: Path, tmp_path: Path) -> None:
    output = tmp_path / "repaired.onnx"
    run("surgery", raw, "-o", output, "--target", "tensorrt", "--no-parity")
    text = run("diff", raw, output).output
    assert "62 Cast gone (62 before, 0 after)" in text
    assert "uint8 zero-point 128 to int8 zero-point 0" in text
    assert "reads Conv at input 0 where it read DequantizeLinear" in text
    assert "the graphs have the same" in run("diff", output, output).output


def test_a_network_that_takes_no_images_needs_no_parity(tmp_path: Path) -> None:
    builder = Builder()
    model = builder.model(builder.conv(builder.pair("input", 0.1), 4, 4))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    file = tmp_path / "odd.onnx"
    onnx.save(model, file)
    result = run("surgery", file, "-o", tmp_path / "out.onnx", "--target", "tensorrt")
    assert result.exit_code == 0, result.output
