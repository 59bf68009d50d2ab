"""Files from anywhere hold data: none of them runs code when it is read, or fills the memory."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from flows.jobfile import load_job
from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from tasks.models.int8 import load_int8
from tasks.models.resnet import resnet20
from tasks.models.weights import read_weights
from tasks.train.state import StateFile


class LeavesAFile:
    """A pickle of it makes a folder when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "code was run"


def hostile_files(trace: Path) -> list[Path]:
    """The same pickle as a bare one, as PyTorch's archive, and as its older format."""
    bare, archive, older = (trace.with_name(f"state.{kind}") for kind in ("pkl", "zip", "old"))
    bare.write_bytes(pickle.dumps(LeavesAFile(trace)))
    torch.save({"model": LeavesAFile(trace)}, archive)
    torch.save(LeavesAFile(trace), older, _use_new_zipfile_serialization=False)
    return [bare, archive, older]


def test_the_files_are_hostile(trace: Path) -> None:
    for file in hostile_files(trace)[1:]:
        torch.load(file, weights_only=False)
        assert trace.is_dir()
        trace.rmdir()


def test_a_checkpoint_that_is_a_pickle_is_not_opened(trace: Path) -> None:
    for file in hostile_files(trace):
        disguised = file.rename(trace.with_name("net.safetensors"))
        with pytest.raises(InputError, match=r"is a pickle|is not a whole safetensors file"):
            read_weights(disguised)
    assert not trace.exists()


def test_the_state_of_an_interrupted_training_is_tensors_only(trace: Path) -> None:
    model = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for file in hostile_files(trace):
        state = StateFile(file, "this training")
        assert state.restore(model, torch.optim.SGD(model.parameters(), lr=0.1)) == []
    assert not trace.exists()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_int8_state_is_tensors_only(trace: Path) -> None:
    for file in hostile_files(trace):
        with pytest.raises((pickle.UnpicklingError, RuntimeError)):
            load_int8(resnet20().eval(), QuantizationConfig(), file, (3, 32, 32))
    assert not trace.exists()


FORBIDDEN = {"pickle.load", "pickle.loads", "yaml.unsafe_load", "eval", "exec", "os.system"}


def test_every_load_of_torch_asks_for_tensors_only() -> None:
    """No call that unpickles: not torch.load without weights_only, nor pickle itself."""
    import ast

    found: list[str] = []
    for package in ("flows", "tasks", "schemas", "scripts"):
        for file in (Path(__file__).parents[2] / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func)
                    safe = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    if name == "torch.load" and safe.get("weights_only") != "True":
                        found.append(f"{file}:{node.lineno}")
                    if name == "yaml.load" and "_Loader" not in map(ast.unparse, node.args):
                        found.append(f"{file}:{node.lineno}")
                    if name in FORBIDDEN:
                        found.append(f"{file}:{node.lineno}")
    assert found == []


def bomb(levels: int = 9, width: int = 9) -> str:
    """Ten lines that stand for a billion values."""
    lines = [f"a0: &a0 [{', '.join(['lol'] * width)}]"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines)


MERGES = "a0: &a0 {x: 1}\n" + "\n".join(
    f"a{n}: &a{n} {{p: {{<<: *a{n - 1}, y: *a{n - 1}}}, q: *a{n - 1}}}" for n in range(1, 30)
)
YAML = {
    "object": ("a: !!python/object/apply:os.mkdir ['TRACE']", "could not determine a constructor"),
    "new": ("a: !!python/object/new:os.mkdir ['TRACE']", "could not determine a constructor"),
    "module": ("a: !!python/module:os", "could not determine a constructor"),
    "name": ("a: !!python/name:os.system", "could not determine a constructor"),
    "bomb": (bomb(), "more than 20,000 values"),
    "merge bomb": (MERGES, "more than 20,000 values"),
    "itself": ("a: &a [*a]", "contains itself"),
    "deep": ("[" * 100_000, "nested more than 50 deep"),
    "deep in blocks": ("".join(f"{' ' * n}a:\n" for n in range(500)), "nested more than 50 deep"),
    "long": ("a: " + "b" * 2_000_000, "more than 1,000,000 characters"),
    "number": ("a: " + "9" * 10_000, "cannot be read"),
    "date": ("a: 2001-99-99", "cannot be read"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", sorted(YAML))
def test_yaml_is_plain_values_and_not_too_many(tmp_path: Path, trace: Path, kind: str) -> None:
    text, said = YAML[kind]
    file = tmp_path / "job.yaml"
    file.write_text(text.replace("TRACE", str(trace)), encoding="utf-8")
    with pytest.raises(InputError, match=said) as refused:
        load_job(file)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 2_000
    assert not trace.exists()


def test_anchors_for_what_repeats_are_taken(tmp_path: Path) -> None:
    import yaml

    from tests.operations.conftest import job_document

    document: dict[str, Any] = job_document()
    shared = [0.5]
    document["data"] |= {"mean": shared, "std": shared}
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert "&id001" in file.read_text()
    assert load_job(file).data.std == (0.5,)
