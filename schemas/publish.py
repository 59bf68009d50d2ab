"""What is published, and which version of it is the latest."""

from typing import Annotated

from pydantic import AwareDatetime, StringConstraints

from schemas.artifact import Sha256
from schemas.base import Strict

VersionName = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""The first 16 hex digits of the SHA-256 of a version's ``version.json``."""


class Promotion(Strict):
    """A version became the latest."""

    version: VersionName
    promoted_at: AwareDatetime
    report_sha256: Sha256 | None = None
    """Digest of the run's report, whose gates all passed."""


class Pointer(Strict):
    """``latest.json``: which version is served, and what a rollback goes back to."""

    latest: Promotion
    earlier: tuple[Promotion, ...] = ()
    """What was the latest before, oldest first, each version once and without what is withdrawn."""
    withdrawn: tuple[VersionName, ...] = ()
    """Versions rolled back from; none of them is promoted again unless asked for."""


class VersionState(Strict):
    """A version as it lies on disk."""

    version: VersionName
    path: str
    """Relative to the job's folder."""
    latest: bool
    promoted: Promotion | None
    """When it last became the latest; None where that is not remembered."""
    withdrawn: bool
