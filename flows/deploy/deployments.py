"""The flows of ``prefect.yaml`` as deployments."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from flows.deploy.piece import Piece
from flows.yaml_file import load_yaml
from schemas.deployment import Cron, Deployment, DeploymentFile
from schemas.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


STAY = [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}]
"""As in prefect.yaml: without a pull step a worker copies the folder that it was started in."""


def read_deployments(file: Path) -> tuple[Deployment, ...]:
    """The deployments of a ``prefect.yaml``.

    Raises InputError where it cannot be read or used, or two deployments have one name.
    """
    try:
        document = load_yaml(file, "deployment file")
        deployments = DeploymentFile.model_validate(document).deployments
    except FileNotFoundError as error:
        raise InputError(f"{file}: there is no such file: correct the path") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{file}: {field} is {first['input']!r} ({first['msg']}): correct it there"
        ) from error
    names = [deployment.name for deployment in deployments]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{file}: two deployments are named {name}: rename one of them")
    return deployments


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """The flow of an entry point.

    Raises InputError where its module does not import or has no such flow.
    """
    module, _, name = entrypoint.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise InputError(
            f"entrypoint {entrypoint}: there is no module {error.name}: correct prefect.yaml"
        ) from error
    if not isinstance(found, Flow):
        raise InputError(
            f"entrypoint {entrypoint}: {module} has no flow {name}: correct prefect.yaml"
        )
    return found


def form(flow: Flow[..., Any]) -> dict[str, Any]:
    """The JSON schema of a flow's parameters, every field with its place among its like.

    Postgres keeps the keys of an object in an order of its own, and the UI would show that.
    """
    schema: dict[str, Any] = parameter_schema(flow).model_dump(mode="json", exclude_unset=True)
    for part in (schema, *schema.get("definitions", {}).values()):
        for position, field in enumerate(part.get("properties", {}).values()):
            field["position"] = position
    return schema


def deployment(wanted: Deployment) -> Piece:
    """The deployment as ``prefect.yaml`` describes it, with its flow's form."""
    flow = load_flow(wanted.entrypoint)
    schema = form(flow)
    schedules = [_schedule(schedule) for schedule in wanted.schedules]
    full_name = f"{flow.name}/{wanted.name}"
    at_once = wanted.concurrency_limit

    def found(client: "SyncPrefectClient") -> dict[str, Any] | None:
        try:
            return _essence(client.read_deployment_by_name(full_name))
        except ObjectNotFound:
            return None

    def put(client: "SyncPrefectClient") -> None:
        client.create_deployment(
            flow_id=client.create_flow_from_name(flow.name),
            name=wanted.name,
            description=wanted.description,
            entrypoint=wanted.entrypoint,
            work_pool_name=wanted.work_pool.name,
            job_variables=dict(wanted.work_pool.job_variables),
            tags=list(wanted.tags),
            parameters=dict(wanted.parameters),
            parameter_openapi_schema=schema,
            enforce_parameter_schema=True,
            schedules=schedules,
            concurrency_limit=at_once.limit if at_once else None,
            concurrency_options=ConcurrencyOptions(
                collision_strategy=ConcurrencyLimitStrategy(at_once.collision_strategy)
            )
            if at_once
            else None,
            pull_steps=STAY,
        )

    document = wanted.model_dump(mode="json")
    return Piece(
        f"deployment {full_name}",
        {
            "description": document["description"],
            "entrypoint": document["entrypoint"],
            "pull_steps": STAY,
            "work_pool": document["work_pool"],
            "tags": sorted(document["tags"]),
            "parameters": document["parameters"],
            "schema": schema,
            "schedules": document["schedules"],
            "concurrency_limit": document["concurrency_limit"],
        },
        found,
        put,
    )


def _schedule(schedule: Cron) -> DeploymentScheduleCreate:
    try:
        cron = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    except ValidationError as error:
        raise InputError(
            f"prefect.yaml: schedule {schedule.cron!r} in {schedule.timezone}: "
            f"{error.errors()[0]['msg']}: write five cron fields and an IANA time zone"
        ) from error
    return DeploymentScheduleCreate(schedule=cron, active=schedule.active)


def _essence(there: DeploymentResponse) -> dict[str, Any]:
    """What the server has, in the words of ``prefect.yaml``."""
    limit, options = there.global_concurrency_limit, there.concurrency_options
    return {
        "description": there.description,
        "entrypoint": there.entrypoint,
        "pull_steps": there.pull_steps,
        "work_pool": {"name": there.work_pool_name, "job_variables": there.job_variables},
        "tags": sorted(there.tags),
        "parameters": there.parameters,
        "schema": there.parameter_openapi_schema,
        "schedules": [
            {
                "cron": getattr(each.schedule, "cron", None),
                "timezone": getattr(each.schedule, "timezone", None),
                "active": each.active,
            }
            for each in there.schedules
        ],
        "concurrency_limit": {
            "limit": limit.limit,
            "collision_strategy": options.collision_strategy.value if options else "ENQUEUE",
        }
        if limit
        else None,
    }
