"""What the published folder's script does with TensorRT and pycuda, by stand-ins for both."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from schemas.publish import Preprocessing
from tasks.publish import standalone

FAKES = Path(__file__).parent / "fakes"
CLASSES = ("black", "dark", "light", "white")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published folder but for its plan, and five images beside it, the last of them white."""
    (tmp_path / "net").mkdir()
    shutil.copyfile(standalone.__file__, tmp_path / "net" / "infer.py")
    how = Preprocessing(input_shape=(1, 2, 2), mode="L", convert=False)
    manifest = {
        "job": "grey",
        "classes": CLASSES,
        "preprocessing": how.model_dump(mode="json"),
        "engines": [{"engine": "tensorrt", "file": "grey.plan"}],
    }
    (tmp_path / "net" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "images").mkdir()
    for place, grey in enumerate((10, 70, 140, 80, 250)):
        Image.new("L", (2, 2), grey).save(tmp_path / "images" / f"{place}.png")
    return tmp_path / "net"


def infer(folder: Path, plan: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    (folder / "grey.plan").write_text(plan)
    return subprocess.run(
        [sys.executable, folder / "infer.py", folder.parent / "images", "--json", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(FAKES), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("plan", "batches"),
    [("1 32", [5]), ("1 2", [2, 2, 1]), ("2 3", [3, 2]), ("4 4", [4, 4]), ("8 32", [8])],
)
def test_every_image_is_answered_in_batches_that_the_plan_takes(
    folder: Path, plan: str, batches: list[int]
) -> None:
    done = infer(folder, plan)
    # Not 134 either: pycuda aborts where a context is left over.
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"ran {batch}" for batch in batches]
    found = [answer["top"][0]["class"] for answer in json.loads(done.stdout)]
    assert found == ["black", "dark", "light", "dark", "white"]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("1 32 fails", "tensorrt did not run it, for the reason that it printed"),
        ("of another GPU", "tensorrt cannot load it here: take it to the GPU and version"),
    ],
)
def test_a_plan_that_does_not_run_gives_no_answers_and_one_line(
    folder: Path, plan: str, message: str
) -> None:
    done = infer(folder, plan)
    assert done.returncode == 2
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if not line.startswith("[TRT]")]
    assert len(said) == 1
    assert said[0].startswith(f"infer.py: {folder / 'grey.plan'}: {message}")


def test_images_that_the_plan_is_not_for_are_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["preprocessing"]["input_shape"] = [1, 4, 4]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = infer(folder, "1 32", "--fit")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "tensorrt takes no 5x1x4x4 images: build it" in done.stderr


@pytest.mark.parametrize(("options", "status"), [(None, 2), (False, 2), (True, 0)])
def test_only_a_plan_that_its_manifest_calls_version_compatible_may_bring_code(
    folder: Path, options: bool | None, status: int
) -> None:
    if options is not None:
        manifest = {"options": {"version_compatible": options}}
        (folder / "grey.plan.manifest.json").write_text(json.dumps(manifest))
    done = infer(folder, "1 32 compatible")
    assert done.returncode == status, done.stderr
