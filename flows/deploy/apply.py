"""Make the server what ``prefect.yaml`` says: done twice, nothing changes the second time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.api import api
from flows.deploy.automations import crash_silent_runs, crash_unbegun_runs
from flows.deploy.deployments import deployment, read_deployments
from flows.deploy.limits import limit, slots
from flows.deploy.notify import notifications
from flows.deploy.piece import Piece, Status
from flows.deploy.pool import pool


@dataclass(frozen=True)
class Outcome:
    """What became of a piece, or with a check would have to."""

    piece: str
    status: Status
    differing: tuple[str, ...]


def pieces(
    file: Path, pool_type: str, limits: Sequence[str], notify: str | None = None
) -> list[Piece]:
    """All that shall be on the server, each after what it needs.

    ``notify`` is the address of a webhook that failures are told to; without one nothing of that is
    touched. Raises InputError where the file, the pool type, a limit or the address cannot be used.
    """
    deployments = read_deployments(file)
    pools = sorted({each.work_pool.name for each in deployments})
    return [
        *(pool(name, pool_type) for name in pools),
        *(limit(name, count) for name, count in slots(limits).items()),
        *(deployment(each) for each in deployments),
        crash_silent_runs(),
        crash_unbegun_runs(),
        *(notifications(notify) if notify else ()),
    ]


def apply(wanted: Sequence[Piece], *, check: bool) -> Iterator[Outcome]:
    """Put every piece on the server, or with ``check`` only say what differs.

    Raises InputError where the server cannot be used.
    """
    with api() as client:
        for piece in wanted:
            status, differing = piece.compare(client)
            if status != "kept" and not check:
                piece.put(client)
            yield Outcome(piece.name, status, differing)
