"""What the pages tell a reader to type is typed, in a folder like the reader's.

``make pages`` types all of it: what needs no run of its own in this process, then page by page,
runs, sweeps, profiles and nights too, each line as a process. The job is the quickstart on few
images.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from flows.cli import app
from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from schemas.errors import InputError
from schemas.report import ReportResult
from tasks.models.exporter import write_onnx
from tasks.models.quantizer import quantizer
from tasks.publish.latest import latest_folder
from tasks.runtimes.registry import runtime
from tasks.surgery.repair import repair
from tests.docs.test_docs import PAGES, blocks, commands
from tests.flows.conftest import REPOSITORY, Workshop, small_job
from tests.flows.few_images import FewImages

FIXTURES = REPOSITORY / "tests/engine/fixtures"
PROGRAMS = "enginesmith|make|docker|python|prefect|tritonserver|export"
TYPED = re.compile(rf"(\w+=\S+ )*(({PROGRAMS}) |scripts/)")
"""Lines of code blocks that are for a shell; the others are what is printed, or a picture."""

LEFT_OUT = {
    r"make (demo|test)\b": "CI runs them",
    r"(\w+=\S+ )?docker |scripts/": "containers: tests/container",
    r"prefect |enginesmith (submit|deploy)\b|export (PREFECT|ENGINESMITH_NOTIFY)": (
        "a server: tests/operations"
    ),
    r"tritonserver ": "Triton is not installed",
    r"python benchmarks/|python -m pytest": "hours, or a GPU; their figures say when they ran",
    r"export AWS_|.*s3://": "somebody's bucket: tests/artifacts",
    r".*jobs/NAME\.yaml|.*image_folder\.path=|.*elsewhere/": "the reader's own images or job",
    r".*old/tensorrt\.plan": "TensorRT is not installed",
}
"""What is not typed, and why."""

RUNS = ("run", "train", "sweep", "nightly", "profile")
OF_THEIR_OWN = ("tutorial.md",)
"""Pages whose other lines look at what their own runs made."""


def lines(page: Path) -> Iterator[str]:
    """The shell lines of a page, as they are typed: without comments, with all optional parts."""
    for _, text in commands(page):
        typed = re.sub(r"\[(-[^]]*)\]", r"\1", text.partition(" #")[0].strip())
        if TYPED.match(typed):
            yield typed


def reason(typed: str) -> str | None:
    """Why a line is not typed; None where it is."""
    return next((why for form, why in LEFT_OUT.items() if re.match(form, typed)), None)


def quick(page: Path) -> list[str]:
    """Lines that need nothing but the reader's folder."""
    if page.name in OF_THEIR_OWN:
        return []
    ours = (x for x in lines(page) if reason(x) is None)
    return [x for x in ours if not x.startswith(tuple(f"enginesmith {verb}" for verb in RUNS))]


class Network(nn.Module):
    """A few layers on images of three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.conv2(torch.relu(self.conv1(x))))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def write_graphs(folder: Path) -> None:
    """The graphs that pages name: float, quantized as exported, and repaired."""
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    config = QuantizationConfig(mode="eager", observer="minmax")
    network, ways = Network().eval(), quantizer("eager")
    prepared = ways.prepare(network, config, images)
    with torch.inference_mode():
        prepared(images)
    table = CalibrationTable(images=4, images_sha256="", tensors=ways.read_ranges(prepared))
    int8 = ways.convert_with_table(network, config, table, images)
    exported, float32 = folder / "exported.onnx", folder / "float32.onnx"
    write_onnx(int8, images, exported, ways.exporter, opset=17, dynamic_batch=True)
    write_onnx(network, images, float32, ways.exporter, opset=17, dynamic_batch=True)
    repaired, _ = repair(onnx.load(exported), "tensorrt")
    for name in ("int8", "resnet18-int8", "MODEL", "AFTER"):
        onnx.save(repaired, folder / f"{name}.onnx")
    for name in ("IN", "BEFORE"):
        shutil.copy(exported, folder / f"{name}.onnx")
    shutil.copy(float32, folder / "resnet18.onnx")


def write_images(folder: Path) -> None:
    """Pictures as the job's network takes them, and in colour."""
    for name in ("photos", "DIR"):
        (folder / name).mkdir()
    few = FewImages("test", 3)
    for index in range(len(few)):
        few[index][0].save(folder / "photos" / f"{index}.png")
    few[0][0].save(folder / "cat.jpg")
    noise = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), np.uint8)
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / "DIR" / f"{index}.png")


@pytest.fixture(scope="module")
def desk(
    first_run: tuple[Workshop, ReportResult], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A reader's folder: two jobs that have run twice, graphs, plans and pictures."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(first_run[0].root, folder / "artifacts")
    workshop = Workshop(folder / "artifacts")
    (folder / "jobs").mkdir()
    for name, newest in (("quickstart", {}), ("mine", {"publish": {}})):
        # What was published before is what a rollback goes back to.
        workshop.run(small_job(name=name, train={"epochs": 1}, publish={"formats": ["folder"]}))
        job = small_job(name=name, train={"epochs": 1}, **newest)
        workshop.run(job)
        text = yaml.safe_dump(job.model_dump(mode="json", exclude_unset=True))
        (folder / f"jobs/{name}.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(latest_folder(workshop.store, "mine") / "folder", folder / "folder")
    write_graphs(folder)
    write_images(folder)
    for plan, graph in (("resnet18", "int8"), ("int8", "int8"), ("float16", "float32")):
        type_here(folder, f"enginesmith build {graph}.onnx -o {plan}.plan")
    times = [{"count": 100}, {"name": "/late/conv/Conv", "averageMs": 0.3}]
    for name, version in (("fp16", 10), ("int8", 11)):
        shutil.copy(FIXTURES / f"inspector-tensorrt{version}.json", folder / f"{name}.json")
        (folder / f"{name}-times.json").write_text(json.dumps(times), encoding="utf-8")
    return folder


def type_here(folder: Path, typed: str) -> None:
    """Type a line in this process, which has imported everything before."""
    program, *words = shlex.split(typed)
    if program == "python":
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("ENGINESMITH_ARTIFACTS", raising=False)
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{typed}: {done.exception!r} {done.output[-2000:]}"


def needs_what_is_not_here(typed: str) -> bool:
    """TensorRT for RTX is not there for every Python and processor."""
    try:
        runtime("tensorrt_rtx").fingerprint()
    except InputError:
        return "tensorrt_rtx" in typed
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_shell_line_is_typed_or_has_a_reason(page: Path) -> None:
    for typed in lines(page):
        assert reason(typed) or re.match(r"enginesmith |export |python folder/", typed), typed
    for language, line, text in blocks(page):
        shell = any(TYPED.match(x.strip()) for x in text.splitlines())
        assert not (shell and language not in ("", "bash")), f"{page.name}:{line}"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "page", [p for p in PAGES if quick(p)], ids=lambda p: str(p.relative_to(REPOSITORY))
)
def test_what_needs_no_run_is_typed(desk: Path, tmp_path: Path, page: Path) -> None:
    folder = shutil.copytree(desk, tmp_path / "desk")
    for typed in quick(page):
        if not needs_what_is_not_here(typed):
            type_here(folder, typed)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if any(reason(x) is None for x in lines(p))],
    ids=lambda p: str(p.relative_to(REPOSITORY)),
)
def test_every_line_is_typed(desk: Path, tmp_path: Path, page: Path) -> None:
    folder = shutil.copytree(desk, tmp_path / "desk")
    for name, language in (("smallnet.py", "python"), ("smallnet.yaml", "yaml")):
        if page.name == "tutorial.md":
            text = next(text for info, _, text in blocks(page) if info == language)
            (folder / name).write_text(text, encoding="utf-8")
    bin_ = Path(sys.executable).parent
    script = [f'export PATH="{bin_}:$PATH"', "unset ENGINESMITH_ARTIFACTS PREFECT_API_URL"]
    script += [x for x in lines(page) if reason(x) is None and not needs_what_is_not_here(x)]
    done = subprocess.run(
        ["bash", "-eux", "-c", "\n".join(script)],
        cwd=folder,
        env=os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
