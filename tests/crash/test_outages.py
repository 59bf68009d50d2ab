"""The server or its database goes away for a while, and comes back, while a run is under way."""

import signal
import time

import pytest

from tests.crash.evidence import no_slot_is_held
from tests.crash.parts import until
from tests.crash.plant import A_RUN_S, AT_ONCE_S, Plant, answers

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.thorough]


@pytest.mark.parametrize(
    ("part", "sign"),
    [
        ("server", signal.SIGKILL),
        ("server", signal.SIGTERM),
        ("database", signal.SIGINT),
    ],
)
def test_a_run_goes_on_when_what_it_needs_is_restarted(
    plant: Plant, part: str, sign: signal.Signals
) -> None:
    plant.forget_from("convert")
    with plant.held_at("convert") as held:
        run = plant.submit()
        held.reached()
        process = plant.parts.get(part)
        process.end(sign)
    # The run works on, and finds nobody to tell it to.
    time.sleep(2)
    process.start()
    plant.parts.replaced(part, process)
    until(lambda: answers(f"{plant.service.url}/api/ready"), A_RUN_S, f"the {part} is back")
    state = plant.ends(run)
    assert state.type.value == "COMPLETED", state.message
    assert plant.findings() == ()
    assert plant.unended() == []
    no_slot_is_held(plant, AT_ONCE_S)
    # And so does the worker: the next run is taken as ever.
    plant.run()
