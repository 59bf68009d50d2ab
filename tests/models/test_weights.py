"""Checkpoints: what is read, and what is refused."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from schemas.errors import InputError
from tasks.models.resnet import resnet20
from tasks.models.weights import load_weights, read_weights, save_weights


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "net.safetensors"
    save_weights(resnet20(), path)
    return path


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return resnet20().state_dict()


def test_weights_come_back_exactly_and_the_file_is_the_same_each_time(
    saved: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    model = resnet20()
    load_weights(model, saved)
    assert all(torch.equal(value, state()[name]) for name, value in model.state_dict().items())
    save_weights(model, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_half_precision_halves_the_file_and_loads_as_float32(saved: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    half = tmp_path / "half.safetensors"
    save_weights(resnet20(), half, torch.float16)
    assert half.stat().st_size < 0.6 * saved.stat().st_size
    model = resnet20()
    load_weights(model, half)
    for name, value in model.state_dict().items():
        assert value.dtype == state()[name].dtype
        torch.testing.assert_close(value, state()[name], rtol=1e-3, atol=1e-5)


def test_a_channels_last_network_is_saved_as_any_other(saved: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_weights(resnet20().to(memory_format=torch.channels_last), tmp_path / "cl.safetensors")
    assert (tmp_path / "cl.safetensors").read_bytes() == saved.read_bytes()


def refused(path: Path, model: nn.Module | None = None) -> str:
    model = model or resnet20()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        load_weights(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "\n" not in str(error.value)
    return str(error.value)


class RunsCode:
    """A pickle of it makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("length", [0x280, 0x580], ids=["as protocol 2", "as protocol 5"])
def test_a_header_as_long_as_a_pickle_begins_is_none(length: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    one = struct.pack("<f", 1.0)
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length).encode() + one)
    assert read_weights(path)["weight"].tolist() == [1]


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.safetensors"])
def test_a_pickle_is_refused_and_its_code_not_run(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "code was run"
    path = tmp_path / name
    for write in (
        lambda: path.write_bytes(pickle.dumps(RunsCode(marker))),
        lambda: torch.save(RunsCode(marker), path),
        lambda: torch.save(state(), path),
    ):
        write()
        message = refused(path)
        assert "is a pickle, which can run code" in message
        assert "s.save_file(torch.load(" in message
    assert not marker.exists()


def test_the_conversion_that_the_message_gives_works(tmp_path: Path) -> None:
    import re
    import subprocess
    import sys

    torch.save(state(), tmp_path / "net.pth")
    found = re.search(r'python -c "(.*)"$', refused(tmp_path / "net.pth"))
    assert found
    subprocess.run([sys.executable, "-c", found[1]], check=True)
    load_weights(resnet20(), tmp_path / "net.safetensors")


def test_the_snippet_of_the_pages_converts_a_training_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrapped = nn.DataParallel(resnet20())
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1, momentum=0.9)
    entries = {"state_dict": wrapped.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"epoch": 90, **entries}, "checkpoint.pth")
    assert "of a training checkpoint its entry" in refused(tmp_path / "checkpoint.pth")
    page = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    code = page.split("## From a training checkpoint")[1].split("```py\n")[1].split("```")[0]
    exec(code, {})
    load_weights(resnet20(), tmp_path / "net.safetensors")


def test_names_that_a_wrapper_prefixed_are_said(saved: Path) -> None:
    save_file({f"module.{name}": value for name, value in state().items()}, saved)
    message = refused(saved)
    assert message.endswith("its names begin with 'module.': save them without it")
    save_file({f"module.{name}": value for name, value in state().items()} | state(), saved)
    assert "(missing: none; unexpected: module.bn1.bias" in refused(saved)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no checkpoint" in refused(tmp_path / "gone.safetensors")
    assert "there is no checkpoint" in refused(tmp_path)


def test_a_damaged_file_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for data in (whole[:-1], whole[: len(whole) // 2], whole[:5], b"", b"\xff" * 100):
        saved.write_bytes(data)
        assert "is not a whole safetensors file" in refused(saved)


def test_another_shape_is_named(saved: Path) -> None:
    message = refused(saved, resnet20(num_classes=7))
    assert message.startswith("model.weights does not fit the network: fc.")
    assert "fc.weight is [10, 64] and should be [7, 64]" in message


def test_missing_and_unexpected_names_are_listed(saved: Path) -> None:
    tensors = {name.replace("bn1", "norm1"): value for name, value in state().items()}
    save_file(tensors, saved)
    message = refused(saved)
    assert "missing: bn1.bias, bn1.num_batches_tracked, bn1.running_mean and" in message
    assert "unexpected: norm1.bias, " in message
    few = state()
    del few["fc.bias"]
    save_file(few, saved)
    assert "(missing: fc.bias; unexpected: none)" in refused(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(saved: Path, value: float) -> None:
    tensors = state()
    tensors["fc.weight"][3, 3] = value
    save_file(tensors, saved)
    assert "has NaN or infinity in fc.weight" in refused(saved)


def test_integers_in_place_of_floats_are_refused(saved: Path) -> None:
    tensors = state()
    tensors["fc.weight"] = tensors["fc.weight"].to(torch.int8)
    save_file(tensors, saved)
    assert "fc.weight is torch.int8 and should be torch.float32" in refused(saved)
