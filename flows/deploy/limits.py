"""Concurrency limits: whose slot a stage holds while it must be alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.exceptions import ObjectNotFound

from flows.deploy.piece import Piece
from flows.limits import GPU, TIMING
from schemas.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def slots(given: Sequence[str]) -> dict[str, int]:
    """Slots of every limit: one for each of ours, and ``NAME=N`` as given.

    Raises InputError where one is not written like that.
    """
    wanted = {GPU: 1, TIMING: 1}
    for text in given:
        name, _, number = text.partition("=")
        if not name or (number and not number.isdecimal()) or number == "0":
            raise InputError(f"--limit {text}: write it as NAME or NAME=N, with N at least 1")
        wanted[name] = int(number or 1)
    return wanted


def limit(name: str, count: int) -> Piece:
    """The limit of that name; what holds a slot of it keeps it when the number changes."""

    def found(client: "SyncPrefectClient") -> dict[str, Any] | None:
        try:
            there = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            return None
        return {"limit": there.limit, "active": there.active}

    def put(client: "SyncPrefectClient") -> None:
        client.upsert_global_concurrency_limit_by_name(name, count)
        # One that was switched off lets everybody through, and stays off when it is changed.
        client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active=True))

    return Piece(f"limit {name}", {"limit": count, "active": True}, found, put)
