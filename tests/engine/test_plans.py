"""A plan is opened only if it is the one that its manifest tells of."""

import json
from pathlib import Path

import numpy as np
import pytest

from schemas.engine import OpenVinoConfig, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.artifacts.store import sha256_of_file
from tasks.engine.build import build_engine
from tasks.runtimes.plans import (
    check_plan,
    layers_path,
    manifest_path,
    open_plan,
    read_manifest,
    sealed,
    write_beside,
)
from tasks.runtimes.tensorrt_rtx import TensorRtRtxRuntime


@pytest.fixture(scope="module")
def built(int8_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = tmp_path_factory.mktemp("plans") / "ov.plan"
    write_beside(plan, *build_engine(int8_graph, "openvino", "int8", OpenVinoConfig(), plan))
    return plan


@pytest.fixture
def plan(built: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    for path in (built, manifest_path(built), layers_path(built)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / built.name


def test_the_manifest_tells_what_the_plan_is(plan: Path, int8_graph: Path) -> None:
    manifest = read_manifest(plan)
    assert manifest.graph_sha256 == sha256_of_file(int8_graph)
    assert manifest.plan_sha256 == sha256_of_file(plan)
    assert manifest.plan_bytes == plan.stat().st_size
    assert manifest.fingerprint["openvino"]
    assert [(x.name, x.shape) for x in manifest.inputs] == [("images", (-1, 3, 32, 32))]
    assert [(x.name, x.dtype) for x in manifest.outputs] == [("logits", "float32")]
    assert manifest.build_s > 0


def test_an_untouched_plan_opens(plan: Path) -> None:
    logits = open_plan(plan, threads=1).infer(np.zeros((2, 3, 32, 32), np.float32))
    assert logits.shape == (2, 10)


def refused(plan: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_plan(plan)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_truncated_plan(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:1000])
    assert "is not the plan of its manifest (has 1000 bytes of" in refused(plan)


def test_a_plan_with_one_bit_flipped(plan: Path) -> None:
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)
    assert "holds other bytes" in refused(plan)


def test_a_missing_manifest(plan: Path) -> None:
    manifest_path(plan).unlink()
    assert "has no manifest ov.plan.manifest.json beside it" in refused(plan)


@pytest.mark.parametrize(
    "edit",
    [
        {"fingerprint": {"openvino": "9999"}},
        {"precision": "float32"},
        {"inputs": []},
        {"build_s": 0.001},
    ],
)
def test_an_edited_manifest(plan: Path, edit: dict[str, object]) -> None:
    path = manifest_path(plan)
    path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
    assert "was edited after the build" in refused(plan)


@pytest.mark.parametrize("text", ["", "{", '{"engine": "abacus"}'])
def test_a_broken_manifest(plan: Path, text: str) -> None:
    manifest_path(plan).write_text(text)
    assert "is not valid" in refused(plan)


def test_a_missing_plan(plan: Path) -> None:
    plan.unlink()
    assert "no plan" in refused(plan)


def test_a_plan_of_another_version(int8_graph: Path, tmp_path: Path) -> None:
    plan = tmp_path / "rtx.plan"
    options = TensorRtRtxConfig()
    manifest, _ = build_engine(int8_graph, "tensorrt_rtx", "int8", options, plan)
    check_plan(plan, manifest)
    older = sealed(manifest.model_copy(update={"fingerprint": {"tensorrt_rtx": "1.0.0.1"}}))
    here = TensorRtRtxRuntime().fingerprint()["tensorrt_rtx"]
    with pytest.raises(InputError, match=f"built by TensorRT for RTX 1.0.0.1, and {here} is"):
        check_plan(plan, older)
