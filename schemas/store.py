"""What is in an artifact store, what is wrong with it, and what can go."""

from typing import Literal

from pydantic import Field, NonNegativeInt

from schemas.base import Strict

Damage = Literal["damaged", "missing", "link", "left over", "unreadable"]


class StoredKind(Strict):
    """The objects of one kind."""

    kind: str = Field(description="such as 'plan'; 'unknown': no result or build names it")
    files: NonNegativeInt
    size_bytes: NonNegativeInt


class StoreListing(Strict):
    location: str
    kinds: tuple[StoredKind, ...]
    results: NonNegativeInt = Field(description="cached results of stages")
    builds: dict[str, int] = Field(description="finished builds by job")

    @property
    def size_bytes(self) -> int:
        return sum(kind.size_bytes for kind in self.kinds)


class Finding(Strict):
    """Something in the store that is not what it should be."""

    key: str = Field(description="path within the store")
    damage: Damage
    detail: str
    rebuilt_by: str = Field(description="what makes it anew, or what else to do")


class VerifyReport(Strict):
    location: str
    checked: NonNegativeInt
    findings: tuple[Finding, ...]
    removed: bool = Field(description="what was found has been removed")


class GcReport(Strict):
    """What garbage collection removed, or with a dry run would remove."""

    location: str
    dry_run: bool
    waiting_for: tuple[str, ...] = Field(description="builds under way: nothing was removed")
    objects: tuple[str, ...]
    results: tuple[str, ...]
    left_overs: tuple[str, ...] = Field(description="temporary files of runs that were killed")
    copies: tuple[str, ...] = Field(description="of a remote store's files, on this machine")
    freed_bytes: NonNegativeInt
    kept_objects: NonNegativeInt
