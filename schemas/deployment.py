"""What of ``prefect.yaml`` is used: the deployments."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt

from schemas.base import Strict

DottedFlow = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"


class Cron(Strict):
    """When a deployment runs by itself."""

    cron: str = Field(description="minute, hour, day of month, month, day of week")
    timezone: str = Field(description="IANA name, such as Europe/Berlin")
    active: bool = True


class WorkPoolOf(Strict):
    name: str
    job_variables: dict[str, JsonValue] = Field(
        default={}, description="what differs from the pool's template for this deployment"
    )


class RunsAtOnce(Strict):
    """How many runs of one deployment there may be."""

    limit: PositiveInt
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"


class Deployment(Strict):
    """One flow, where it runs and when."""

    name: str
    entrypoint: str = Field(
        pattern=DottedFlow,
        description="package.module.flow; with a colon Prefect copies the working folder first",
    )
    description: str | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, JsonValue] = Field(default={})
    work_pool: WorkPoolOf
    schedules: tuple[Cron, ...] = ()
    concurrency_limit: RunsAtOnce | None = None


class DeploymentFile(BaseModel):
    """``prefect.yaml``; ``prefect deploy --all`` reads the same file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    deployments: tuple[Deployment, ...]
