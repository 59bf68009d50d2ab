"""A plan is opened only once its bytes are known to be those that were built."""

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import InputError, StaleArtifactError
from tasks.runtimes.openvino import OpenVinoRuntime
from tasks.runtimes.plans import open_plan
from tests.publish.conftest import Run, built, images

__all__ = ["built", "images"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The plans that reached the engine."""
    seen: list[Path] = []
    open_really = OpenVinoRuntime.open

    def spy(self: OpenVinoRuntime, plan: Path, **options: Any) -> Any:
        seen.append(plan)
        return open_really(self, plan, **options)

    monkeypatch.setattr(OpenVinoRuntime, "open", spy)
    return seen


def plan_of(run: Run, folder: Path) -> Path:
    """The run's OpenVINO plan with its manifest, copied out of the store."""
    from tasks.runtimes.plans import manifest_path

    engine = next(each for each in run.report.engines if each.target == "openvino")
    plan = folder / "openvino.plan"
    plan.write_bytes(run.store.open(engine.plan).read_bytes())
    manifest_path(plan).write_text(engine.manifest.model_dump_json())
    return plan


def test_a_plan_that_is_whole_is_opened(built: Run, tmp_path: Path, opened: list[Path]) -> None:
    plan = plan_of(built, tmp_path)
    open_plan(plan)
    assert opened == [plan]


@pytest.mark.parametrize("change", ["bit", "end", "other"])
def test_an_exchanged_plan_never_reaches_the_engine(
    built: Run, tmp_path: Path, opened: list[Path], change: str
) -> None:
    plan = plan_of(built, tmp_path)
    data = bytearray(plan.read_bytes())
    if change == "bit":
        data[len(data) // 2] ^= 1
    changed = {"bit": bytes(data), "end": bytes(data[:-1]), "other": b"another plan"}[change]
    plan.write_bytes(changed)
    with pytest.raises(InputError, match="is not the plan of its manifest"):
        open_plan(plan)
    assert opened == []


def test_nor_does_one_that_was_exchanged_in_the_store(built: Run) -> None:
    engine = next(each for each in built.report.engines if each.target == "openvino")
    file = built.store.root / engine.plan.path
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-1] + b"x")
        with pytest.raises(StaleArtifactError, match="is damaged"):
            built.store.open(engine.plan)
    finally:
        file.write_bytes(whole)
