"""One thing that must be on the server, and how to see and make it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

Status = Literal["kept", "made", "changed"]


@dataclass(frozen=True)
class Piece:
    """A pool, limit, deployment or automation."""

    name: str
    wanted: dict[str, Any]
    """What it should be like, comparable with what ``found`` gives."""
    found: "Callable[[SyncPrefectClient], dict[str, Any] | None]"
    """What the server has of it; None where it has nothing of that name."""
    put: "Callable[[SyncPrefectClient], None]"
    """Make it, or make it what is wanted."""

    def compare(self, client: "SyncPrefectClient") -> tuple[Status, tuple[str, ...]]:
        """What ``put`` would have to do, and which fields differ."""
        found = self.found(client)
        if found is None:
            return "made", ()
        differing = tuple(key for key, value in self.wanted.items() if found.get(key) != value)
        return ("changed" if differing else "kept"), differing
