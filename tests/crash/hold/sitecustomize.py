"""Stops a stage at its worst moment: its object is written, but not yet under its name.

Python imports a module of this name by itself when it starts; a crash test puts this folder on the
PYTHONPATH of its worker, and so of every run. ``CRASH_HOLD`` names a folder: while its file ``at``
holds the name of a task, that task waits before an object of its own appears, and says so in a
file ``reached-<process>``. Where it holds ``beginning``, a run waits before it begins.
"""

import os
import sys
import time
from pathlib import Path


def hold_at(folder: Path) -> None:
    """Have this process wait where the folder's file ``at`` says."""
    from tasks.artifacts.folder import Folder

    if "prefect.engine" in sys.orig_argv:
        while wanted(folder) == "beginning":
            (folder / f"reached-{os.getpid()}").touch()
            time.sleep(0.02)
    put = Folder.put

    def held(self: Folder, file: Path, key: str) -> None:
        context = sys.modules.get("prefect.context")
        run = context.TaskRunContext.get() if context else None
        while run and key.startswith("objects/") and wanted(folder) == run.task.name:
            (folder / f"reached-{os.getpid()}").touch()
            time.sleep(0.02)
        put(self, file, key)

    Folder.put = held  # type: ignore[method-assign]


def wanted(folder: Path) -> str | None:
    try:
        return (folder / "at").read_text()
    except FileNotFoundError:
        return None


if "CRASH_HOLD" in os.environ:
    hold_at(Path(os.environ["CRASH_HOLD"]))
