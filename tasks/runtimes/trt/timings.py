"""Kernel timings kept from one build to the next, by content.

A folder per version, GPU and driver holds serialized timing caches named by their SHA-256. A build
merges all it finds and adds its own merged one; nothing is ever rewritten, so builds at the same
time need no lock. Superseded files are removed by the build that merged them.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.engine import TensorRtOptions
from schemas.errors import InputError
from tasks.runtimes.trt.module import TensorRtModule, version

if TYPE_CHECKING:
    import tensorrt


def folder(root: Path, trt: TensorRtModule, gpu: dict[str, str]) -> Path:
    """Where timings of this library, GPU and driver lie below ``root``."""
    parts = [trt.__name__, version(trt), *gpu.values()]
    return root / re.sub(r"[^A-Za-z0-9._]+", "-", "_".join(parts))


class Timings:
    """The timing cache of one build."""

    def __init__(
        self,
        trt: TensorRtModule,
        config: "tensorrt.IBuilderConfig",
        options: TensorRtOptions,
        gpu: dict[str, str],
    ) -> None:
        assert options.timing_cache is not None
        self._folder = folder(options.timing_cache, trt, gpu)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"timing_cache {options.timing_cache} cannot be written to ({error.strerror}): "
                "name another folder"
            ) from error
        self._merged: list[Path] = []
        self._config = config
        self.cache = config.create_timing_cache(b"")
        for file in sorted(self._folder.glob("*.timings")):
            blob = file.read_bytes()
            if hashlib.sha256(blob).hexdigest() != file.stem:
                continue  # damaged: what it held is measured again
            if self.cache.combine(config.create_timing_cache(blob), ignore_mismatch=False):
                self._merged.append(file)
        if not config.set_timing_cache(self.cache, ignore_mismatch=False):
            raise InputError(f"the timings in {self._folder} do not fit this GPU: remove them")
        if options.pin_timings:
            config.set_flag(trt.BuilderFlag.ERROR_ON_TIMING_CACHE_MISS)

    def save(self) -> None:
        """Add what the build measured, then drop the files that it was merged from."""
        cache = self._config.get_timing_cache()
        if cache is None:
            return
        blob = bytes(memoryview(cache.serialize()))
        kept = self._folder / f"{hashlib.sha256(blob).hexdigest()}.timings"
        if not kept.exists():
            temporary = kept.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(blob)
            temporary.replace(kept)
        for file in self._merged:
            if file != kept:
                file.unlink(missing_ok=True)
