"""The work pool: where runs go and how a worker starts them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from flows.deploy.piece import Piece
from schemas.errors import InputError, nearest

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PoolType = Literal["process", "docker", "kubernetes"]
TEMPLATES = Path(__file__).parent / "templates"


def template(kind: str) -> dict[str, Any]:
    """The base job template of a pool type: what a worker starts, and what a run may change of it.

    Raises InputError where there is none of that type.
    """
    if kind not in get_args(PoolType):
        raise InputError(
            f"--pool-type {kind}: there is no template for it: {nearest(kind, get_args(PoolType))}"
        )
    loaded = json.loads((TEMPLATES / f"{kind}.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def pool(name: str, kind: str) -> Piece:
    """The pool of that name, of that type and with our template.

    Its ``put`` raises InputError where the name is taken by a pool of another type.
    """
    wanted = {"type": kind, "base_job_template": template(kind)}

    def found(client: "SyncPrefectClient") -> dict[str, Any] | None:
        try:
            there = client.read_work_pool(name)
        except ObjectNotFound:
            return None
        if there.type != kind:
            raise InputError(
                f"the work pool {name} is of type {there.type} and cannot become {kind}: name the "
                f"type with --pool-type {there.type}, or delete the pool "
                f"(prefect work-pool delete {name})"
            )
        return {"type": there.type, "base_job_template": there.base_job_template}

    def put(client: "SyncPrefectClient") -> None:
        if found(client) is None:
            client.create_work_pool(
                WorkPoolCreate(name=name, type=kind, base_job_template=wanted["base_job_template"])
            )
        else:
            client.update_work_pool(
                name, WorkPoolUpdate(base_job_template=wanted["base_job_template"])
            )

    return Piece(f"work pool {name}", wanted, found, put)
