"""Prefect's records of what stages returned, in the artifact store beside what they refer to.

Not Prefect's own file systems: its local one writes in place, so that a killed run leaves half a
record, and its remote one has to be saved on every server that a run talks to.
"""

from typing import Any

from prefect.filesystems import WritableFileSystem
from prefect.results import get_result_store

from tasks.artifacts.store import current_store

RESULTS = "results"


class StoreResults(WritableFileSystem):
    """Records under ``results/`` of the store that this process works in.

    Workers that share a store share their cached results. A record's key says everything that the
    result depends on, so two workers that write the same one write the same.
    """

    _block_type_name = "Artifact store"

    def _resolve_path(self, path: str) -> None:  # noqa: ARG002
        """Prefect asks where a key lies; None says that keys are used as they are."""
        return

    async def aread_path(self, path: str) -> bytes:
        return self.read_path(path)

    def read_path(self, path: str, **_: Any) -> bytes:  # type: ignore[override]
        return current_store().backend.read(f"{RESULTS}/{path}")

    async def awrite_path(self, path: str, content: bytes) -> None:
        self.write_path(path, content)

    def write_path(self, path: str, content: bytes, **_: Any) -> None:  # type: ignore[override]
        current_store().backend.write(f"{RESULTS}/{path}", content)


def keep_results_in_store() -> None:
    """Have the tasks of the flow run that this is called in remember their results in the store."""
    get_result_store().result_storage = StoreResults()
