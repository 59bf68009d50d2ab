"""Kernel timings are merged over builds, kept by content, and apart by GPU and driver.

TensorRT's own caches stay empty without a GPU, so one stands in here whose content is a set of
lines; how builds use it is the code that TensorRT gets.
"""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.engine import TensorRtConfig
from schemas.errors import InputError
from tasks.runtimes.trt.timings import Timings, folder

GPU = {"gpu": "NVIDIA GeForce RTX 3090", "compute_capability": "8.6", "driver": "580.65.06"}
TRT: Any = SimpleNamespace(
    __name__="tensorrt",
    __version__="10.13.2",
    BuilderFlag=SimpleNamespace(ERROR_ON_TIMING_CACHE_MISS="pinned"),
)


class Cache:
    def __init__(self, blob: bytes) -> None:
        self.lines = set(blob.split())

    def combine(self, other: "Cache", ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if b"other-gpu" in other.lines:
            return False
        self.lines |= other.lines
        return True

    def serialize(self) -> bytes:
        return b"\n".join(sorted(self.lines))


class Config:
    def __init__(self) -> None:
        self.flags: list[str] = []
        self.cache = Cache(b"")

    def create_timing_cache(self, blob: bytes) -> Cache:
        return Cache(blob)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return not ignore_mismatch

    def get_timing_cache(self) -> Cache:
        return self.cache

    def set_flag(self, flag: str) -> None:
        self.flags.append(flag)


def build(root: Path, measured: bytes, *, pin: bool = False) -> tuple[Config, set[bytes]]:
    """One build that measures a kernel; what it knew before it started."""
    config: Any = Config()
    options = TensorRtConfig(timing_cache=root, pin_timings=pin)
    timings = Timings(TRT, config, options, GPU)
    known = set(config.cache.lines)
    config.cache.lines.add(measured)
    timings.save()
    return config, known


def kept(root: Path) -> list[Path]:
    return sorted(folder(root, TRT, GPU).glob("*.timings"))


def test_a_build_knows_what_earlier_ones_measured(tmp_path: Path) -> None:
    build(tmp_path, b"conv1")
    build(tmp_path, b"conv2")
    _, known = build(tmp_path, b"conv3")
    assert known == {b"conv1", b"conv2"}
    (file,) = kept(tmp_path)
    assert file.stem == hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.read_bytes().split() == [b"conv1", b"conv2", b"conv3"]


def test_builds_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    first: Any = Config()
    slow = Timings(TRT, first, TensorRtConfig(timing_cache=tmp_path), GPU)
    build(tmp_path, b"quick")
    first.cache.lines.add(b"slow")
    slow.save()
    assert len(kept(tmp_path)) == 2
    _, known = build(tmp_path, b"late")
    assert known == {b"quick", b"slow"}
    assert len(kept(tmp_path)) == 1


def test_damaged_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    build(tmp_path, b"conv1")
    (good,) = kept(tmp_path)
    good.with_name("0" * 64 + ".timings").write_bytes(b"damaged")
    foreign = b"other-gpu"
    good.with_name(hashlib.sha256(foreign).hexdigest() + ".timings").write_bytes(foreign)
    _, known = build(tmp_path, b"conv2")
    assert known == {b"conv1"}


def test_another_driver_starts_afresh(tmp_path: Path) -> None:
    assert folder(tmp_path, TRT, GPU).name == (
        "tensorrt_10.13.2_NVIDIA-GeForce-RTX-3090_8.6_580.65.06"
    )
    assert folder(tmp_path, TRT, GPU) != folder(tmp_path, TRT, {**GPU, "driver": "590.1"})


def test_pinned_timings_make_a_missing_one_an_error(tmp_path: Path) -> None:
    config, _ = build(tmp_path, b"conv1", pin=True)
    assert config.flags == ["pinned"]
    config, _ = build(tmp_path, b"conv1")
    assert config.flags == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"timing_cache .* cannot be written to"):
        build(tmp_path / "file", b"conv1")
