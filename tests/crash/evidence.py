"""What holds after every crash."""

import os
from collections import Counter
from pathlib import Path
from uuid import UUID

from tests.crash.parts import until
from tests.crash.plant import JOB, Plant


def nothing_half_written(plant: Plant) -> None:
    """No object of an unfinished stage, no part of a run folder, nothing that is not right."""
    assert plant.findings() == (), plant.findings()
    assert not (plant.volume.folder / "runs").exists() or not list(
        (plant.volume.folder / "runs").rglob("*.plan")
    )
    listed = plant.command("cache", "verify")
    assert listed.returncode == 0, listed.stdout


def finished_stages_are_reused(
    plant: Plant, stage: str, finished: Counter[str], *overrides: str
) -> UUID:
    """Run again: all that was finished is found in the cache, and nothing of it computed again."""
    run = plant.run(*overrides)
    tasks = plant.tasks(run)
    found, computed = (tasks.get(state, Counter()) for state in ("Cached", "Completed"))
    # A search asks for some of its candidates' stages twice.
    assert found >= finished, f"{tasks}; in the store: {finished}"
    made = plant.finished() - finished
    assert made == Counter({task: computed[task] for task in made}), f"{tasks}; made: {made}"
    assert set(finished) & set(computed) <= set(made), f"{tasks}; in the store: {finished}"
    assert stage in computed, tasks
    assert set(tasks) <= {"Cached", "Completed"}, tasks
    assert plant.findings() == (), plant.findings()
    assert (plant.volume.folder / f"runs/{JOB}/openvino.plan").is_file()
    return run


def no_slot_is_held(plant: Plant, within_s: float) -> None:
    until(lambda: plant.taken_slots() == {}, within_s, f"slots: {plant.taken_slots()}")


def make_old(folder: Path, seconds: float) -> None:
    """Have every file below a folder be so much older."""
    for file in folder.rglob("*"):
        if file.is_file():
            then = file.stat().st_mtime - seconds
            os.utime(file, (then, then))
