"""How far a deployed run is, as a Prefect artifact: what a bar is on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.jobfile import targets
from schemas.job import Job

STAGES_BEFORE_ENGINES = 8
STAGES_PER_ENGINE = 7
STAGES_AFTER_ENGINES = 3
SECONDS_BETWEEN_UPDATES = 5.0
"""Stages may come faster than anybody looks, and each update is a request."""


@dataclass
class Progress:
    """Counts finished stages of one run."""

    job: str
    expected: int
    artifact: UUID = field(init=False)
    done: int = 0
    shown: float = field(init=False)

    def __post_init__(self) -> None:
        created = create_progress_artifact(
            progress=0.0, key=f"progress-{self.job}", description=f"{self.job}: starting"
        )
        assert isinstance(created, UUID)
        self.artifact = created
        self.shown = time.monotonic()

    def advance(self, stage: str) -> None:
        """One more stage is done. Only the end itself is 100 %, whatever was expected."""
        self.done += 1
        if time.monotonic() - self.shown > SECONDS_BETWEEN_UPDATES:
            self._show(min(99.0, 100.0 * self.done / self.expected), f"{self.job}: {stage} is done")

    def finish(self) -> None:
        self._show(100.0, f"{self.job}: done, {self.done} stages")

    def _show(self, percent: float, text: str) -> None:
        self.shown = time.monotonic()
        update_progress_artifact(self.artifact, progress=round(percent, 1), description=text)


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def progress_of(job: Job) -> Iterator[None]:
    """Show the progress of the stages that run inside; it stays where it is if one fails."""
    expected = STAGES_BEFORE_ENGINES + STAGES_PER_ENGINE * len(targets(job)) + STAGES_AFTER_ENGINES
    progress = Progress(job.name, expected)
    token = _current.set(progress)
    try:
        yield
        progress.finish()
    finally:
        _current.reset(token)


def advance(stage: str) -> None:
    """A stage of this run is done; a run without ``progress_of`` has nothing to show it on."""
    progress = _current.get()
    if progress is not None:
        progress.advance(stage)
