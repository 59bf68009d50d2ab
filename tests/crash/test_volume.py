"""The volume of the artifacts is full, or read-only: one line says so, nothing is half there."""

from contextlib import AbstractContextManager

import pytest

from tests.crash.evidence import (
    finished_stages_are_reused,
    no_slot_is_held,
    nothing_half_written,
)
from tests.crash.plant import AT_ONCE_S, Plant

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.thorough]

CAUSES = {"full": "No space left on device", "read-only": "Read-only file system"}


@pytest.mark.parametrize("stage", ["export", "report"])
@pytest.mark.parametrize("trouble", CAUSES)
def test_a_volume_that_takes_nothing_is_named_and_the_next_run_goes_on_from_there(
    plant: Plant, trouble: str, stage: str
) -> None:
    if not plant.volume.mounted:
        pytest.skip("a file system of its own cannot be mounted here: run as root")
    plant.forget_from(stage)
    with plant.held_at(stage) as held:
        run = plant.submit()
        held.reached()
        before = plant.finished()
        state: AbstractContextManager[None] = (
            plant.volume.full() if trouble == "full" else plant.volume.read_only()
        )
        with state:
            plant.release()
            ended = plant.ends(run)
            assert ended.type.value == "FAILED"
            assert CAUSES[trouble] in str(ended.message)
            assert str(plant.volume.folder) in str(ended.message)
            assert "\n" not in str(ended.message)
            again = plant.ends(plant.submit())
            assert again.type.value == "FAILED"
            assert str(plant.volume.folder) in str(again.message)
    assert plant.unended() == []
    nothing_half_written(plant)
    no_slot_is_held(plant, AT_ONCE_S)
    finished_stages_are_reused(plant, stage, before)
