"""Killed with -9: a run in every stage, its worker, and both."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.crash.evidence import (
    finished_stages_are_reused,
    make_old,
    no_slot_is_held,
    nothing_half_written,
)
from tests.crash.parts import alive, family, kill, until
from tests.crash.plant import A_RUN_S, AT_ONCE_S, JOB, SLOT_S, Plant

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.thorough]

STAGES = [
    "calibrate",
    "convert",
    "export",
    "surgery",
    "engine",
    "predict_engine",
    "evaluate",
    "profile",
    "layer_errors",
    "report",
]
WHATEVER_COMES_OUT = ("accuracy.max_drop_points=100", "regression=null")
ASKED_FOR = (
    *("equalization.rounds=2", "correction.images=16", "publish.formats=[folder]"),
    *WHATEVER_COMES_OUT,
)
"""What a job may ask for besides, whether or not it helps this one."""
FEW_IMAGES = Path(__file__).parents[1] / "flows/few_images.py"
ON_FEW_IMAGES = (
    *("data.fashion_mnist=null", "data.factory.factory=few_images:FewImages"),
    *("data.factory.kwargs.count=400", *WHATEVER_COMES_OUT),
)
TRAINED = {
    "train": ("model.weights=null", "train.epochs=2", "train.batch_size=50"),
    "finetune": ("finetune.epochs=1", "finetune.batch_size=50"),
    "sensitivity": ("mixed_precision.images=16",),
}
"""Stages that look at many images or at the network many times, and what asks for them."""
SILENCE_S = 120.0
"""docs/recovery.md: a run that went with its worker is marked within so long."""


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_in_a_stage_is_crashed_at_once_and_goes_on_from_there(
    plant: Plant, stage: str
) -> None:
    killed_in(plant, stage)


@pytest.mark.parametrize("stage", ["equalize", "correct", "package"])
def test_so_is_one_that_is_killed_in_a_stage_that_not_every_job_has(
    plant: Plant, stage: str
) -> None:
    killed_in(plant, stage, *ASKED_FOR)


@pytest.mark.parametrize("stage", TRAINED)
def test_so_is_one_that_is_killed_in_training_or_in_a_search(plant: Plant, stage: str) -> None:
    shutil.copy(FEW_IMAGES, plant.service.jobs)
    killed_in(plant, stage, *ON_FEW_IMAGES, *TRAINED[stage])


def killed_in(plant: Plant, stage: str, *overrides: str) -> None:
    plant.forget_from(stage, *overrides)
    with plant.held_at(stage) as held:
        run = plant.submit(*overrides)
        (flow,) = held.reached()
        before = plant.finished()
        os.kill(flow, signal.SIGKILL)
        assert plant.ends(run, AT_ONCE_S).type.value == "CRASHED"
    assert plant.unended() == []
    assert plant.finished() == before
    assert stage not in before
    nothing_half_written(plant)
    no_slot_is_held(plant, SLOT_S)
    finished_stages_are_reused(plant, stage, before, *overrides)


def test_a_run_whose_worker_is_killed_goes_on_to_its_end(plant: Plant) -> None:
    plant.forget_from("convert")
    with plant.held_at("convert") as held:
        run = plant.submit()
        (flow,) = held.reached()
        kill(plant.worker.pid)
        until(lambda: not alive(plant.worker.pid), AT_ONCE_S, "the worker is gone")
        assert alive(flow)
    state = plant.ends(run)
    assert state.type.value == "COMPLETED", state.message
    assert plant.findings() == ()
    no_slot_is_held(plant, AT_ONCE_S)


def test_a_run_killed_with_its_worker_is_crashed_by_the_server(plant: Plant) -> None:
    plant.forget_from("profile")
    with plant.held_at("profile") as held:
        run = plant.submit()
        held.reached()
        before = plant.finished()
        kill(*family(plant.worker.pid))
    assert "timing" in plant.taken_slots()
    plant.worker.reap()
    plant.start_worker()
    nothing_half_written(plant)
    # The next run waits for the slot only, and not until somebody notices the first.
    finished_stages_are_reused(plant, "profile", before)
    crashed = plant.ends(run, SILENCE_S)
    assert crashed.type.value == "CRASHED"
    assert "silent" in str(crashed.message)
    no_slot_is_held(plant, SLOT_S)


def test_a_run_of_the_command_line_on_a_lasting_server_is_crashed_by_it(plant: Plant) -> None:
    plant.forget_from("export")
    job = plant.service.jobs / f"{JOB}.yaml"
    with plant.held_at("export") as held:
        terminal = plant.background("run", str(job))
        assert held.reached() == [terminal.pid]
        (run,) = plant.unended()
        before = plant.finished()
        terminal.kill()
        terminal.wait()
    finished_stages_are_reused(plant, "export", before)
    ended = plant.ends(run["id"], SILENCE_S)
    assert ended.type.value == "CRASHED"
    assert "silent" in str(ended.message)


def test_a_run_whose_worker_is_told_to_end_is_crashed_by_the_server(plant: Plant) -> None:
    plant.forget_from("export")
    with plant.held_at("export") as held:
        run = plant.submit()
        (flow,) = held.reached()
        before = plant.finished()
        kill(plant.worker.pid, sign=signal.SIGTERM)
        until(lambda: not alive(plant.worker.pid), AT_ONCE_S, "the worker ends")
        until(lambda: not alive(flow), AT_ONCE_S, "its run ends with it")
    plant.worker.reap()
    plant.start_worker()
    nothing_half_written(plant)
    finished_stages_are_reused(plant, "export", before)
    assert plant.ends(run, SILENCE_S).type.value == "CRASHED"
    no_slot_is_held(plant, SLOT_S)


def test_a_run_killed_with_its_worker_before_it_began_does_not_wait_for_ever(plant: Plant) -> None:
    """The automation is shortened to seconds: half an hour would be long to wait."""
    (deployed,) = plant.client.read_automations_by_name("crash-unbegun-runs")
    ours = {"name", "description", "enabled", "trigger", "actions", "tags"}
    shortened = deployed.model_dump(mode="json", include=ours)
    assert shortened["trigger"]["within"] == 1800
    shortened["trigger"]["within"] = 10
    path = f"/automations/{deployed.id}"
    plant.client.request("PUT", path, json=shortened)
    try:
        with plant.held_at("beginning") as held:
            run = plant.submit()
            held.reached()
            kill(*family(plant.worker.pid))
            assert plant.state(run).type.value == "PENDING"
            ended = plant.ends(run, A_RUN_S)
        assert ended.type.value == "CRASHED"
        assert "did not begin" in str(ended.message)
        no_slot_is_held(plant, AT_ONCE_S)
    finally:
        shortened["trigger"]["within"] = 1800
        plant.client.request("PUT", path, json=shortened)


def test_garbage_collection_waits_a_quarter_of_an_hour_for_a_killed_build(plant: Plant) -> None:
    plant.forget_from("export")
    with plant.held_at("export") as held:
        run = plant.submit()
        (flow,) = held.reached()
        objects = {entry.key for entry in plant.store.backend.entries("objects")}
        beside = plant.command("cache", "gc", "--grace-hours", "0", "--keep-days", "0")
        assert beside.returncode == 1
        assert f"process {flow} " in beside.stdout
        os.kill(flow, signal.SIGKILL)
        assert plant.ends(run, AT_ONCE_S).type.value == "CRASHED"
    assert {entry.key for entry in plant.store.backend.entries("objects")} == objects
    assert plant.command("cache", "gc").returncode == 1
    make_old(plant.volume.folder / "leases", 15 * 60 + 10)
    make_old(plant.volume.folder / "tmp", 60 * 60 + 10)
    left = plant.command("cache", "verify")
    assert left.returncode == 1
    assert "left over: tmp/" in left.stdout
    swept = plant.command("cache", "gc", "--grace-hours", "0")
    assert swept.returncode == 0, swept.stdout
    assert "removed tmp/" in swept.stdout
    assert list((plant.volume.folder / "tmp").iterdir()) == []
    assert list((plant.volume.folder / "leases").iterdir()) == []
    plant.run()
