"""Real runs of the build flow on real images, cut short: few images, few rounds."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from schemas.job import Job
from schemas.report import ReportResult, RunReport
from tasks.artifacts.store import ARTIFACTS_VARIABLE, Store
from tasks.datasets.fashion_mnist import DEBIAN_FOLDER

REPOSITORY = Path(__file__).parents[2]
CHECKPOINT = REPOSITORY / "jobs/checkpoints/resnet20-fashion-mnist.safetensors"


@dataclass
class Workshop:
    """An artifact folder that jobs run in, in this process, and what each run said."""

    root: Path
    states: dict[str, str] = field(default_factory=dict)
    url: str | None = None

    @property
    def store(self) -> Store:
        return Store(self.url or self.root)

    def run(self, job: Job, refresh: tuple[Any, ...] = ()) -> ReportResult:
        """Run the flow; ``states`` then says of each stage 'cached' or how long it took."""
        from flows.build import build

        said = _Listener()
        log = logging.getLogger("enginesmith")
        log.addHandler(said)
        log.setLevel(logging.INFO)
        settings = {PREFECT_LOCAL_STORAGE_PATH: self.root / "results"}
        try:
            with temporary_settings(settings), pytest.MonkeyPatch.context() as patch:
                patch.setenv(ARTIFACTS_VARIABLE, self.url or str(self.root))
                result = build(job, refresh)
        finally:
            log.removeHandler(said)
            self.states = said.states()
        return result

    def ran(self) -> set[str]:
        """The cached kind of stages that the last run did not find in the cache."""
        uncached = {"dataset", "network", "checkpoint", "deliver"}
        return {name for name, state in self.states.items() if state != "cached"} - uncached

    def report(self, result: ReportResult) -> RunReport:
        return self.store.load(result.json_report, RunReport)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def states(self) -> dict[str, str]:
        stages = [line for line in self.lines if not line.startswith(" ") and "  " in line]
        return {line[:28].strip(): line[28:].strip() for line in stages}


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def workshop(prefect_server: None, tmp_path: Path) -> Workshop:  # noqa: ARG001
    """An empty artifact folder."""
    return Workshop(tmp_path / "artifacts")


@pytest.fixture(scope="session")
def first_run(
    prefect_server: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Workshop, ReportResult]:
    """One run of the small job; not to be changed, use ``warm``."""
    workshop = Workshop(tmp_path_factory.mktemp("first") / "artifacts")
    return workshop, workshop.run(small_job())


@pytest.fixture
def warm(first_run: tuple[Workshop, ReportResult], tmp_path: Path) -> Workshop:
    """A copy of the artifact folder that the small job has run in."""
    shutil.copytree(first_run[0].root, tmp_path / "artifacts")
    return Workshop(tmp_path / "artifacts")


def small_job(**changes: Any) -> Job:
    """The quickstart on few images: OpenVINO only, everything reused."""
    document: dict[str, Any] = {
        "name": "small",
        "model": {
            "factory": "tasks.models.resnet:resnet20",
            "kwargs": {"num_classes": 10, "in_channels": 1},
            "weights": str(CHECKPOINT),
        },
        "data": {"fashion_mnist": {}, "mean": [0.286], "std": [0.353]},
        "calibration": {"images": 64},
        "export": {"parity_images": 8},
        "engines": {"openvino": {}},
        "accuracy": {"images": 300, "max_drop_points": 2.0},
        "profile": {"rounds": 2, "calls": 5, "warmup_calls": 2, "threads": [1], "reuse": True},
        # Of two rounds nothing follows about speed.
        "regression": {"max_speedup_loss": 0.99},
    }
    return Job.model_validate(merged(document, changes))


def merged(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``document`` with nested ``changes``."""
    result = dict(document)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


@pytest.fixture(autouse=True, scope="session")
def fashion_mnist_is_here() -> None:
    """Skip where the images are not, with the way to get them."""
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed: make data")


def write_job(folder: Path, document: dict[str, Any]) -> Path:
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file
