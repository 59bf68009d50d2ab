"""Two identical runs at once."""

import pytest

from tasks.history.records import read_history
from tests.crash.evidence import no_slot_is_held
from tests.crash.plant import AT_ONCE_S, JOB, Plant

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.thorough]


def test_two_identical_runs_at_once_both_pass_and_leave_one_store(plant: Plant) -> None:
    plant.forget_from("calibrate")
    with plant.held_at("calibrate", count=2) as held:
        runs = [plant.submit(), plant.submit()]
        assert len(held.reached()) == 2
    for run in runs:
        state = plant.ends(run)
        assert state.type.value == "COMPLETED", state.message
    assert plant.findings() == ()
    assert plant.unended() == []
    no_slot_is_held(plant, AT_ONCE_S)
    builds = read_history(plant.store, JOB).builds
    assert {build.run for build in builds} == {str(run) for run in runs}
    assert list((plant.volume.folder / "tmp").iterdir()) == []
    assert list((plant.volume.folder / "leases").iterdir()) == []
    # A third finds every stage, whoever of the two was faster. Its report may be another: it names
    # the build before it, which may be the one whose stages it did not find.
    third = plant.tasks(plant.run())
    assert {"calibrate", "engine", "profile"} <= set(third["Cached"])
