"""What the server does by itself."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prefect.automations import AutomationCore
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from flows.deploy.piece import Piece
from flows.deployed import BAD_INPUT, GATES_FAILED

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

HEARTBEAT_S = 30
"""PREFECT_FLOWS_HEARTBEAT_FREQUENCY of the worker; Prefect takes no less."""
SILENCE_S = 3 * HEARTBEAT_S

END_STATES = (
    *("Completed", "Failed", "Cancelled", "Crashed", "TimedOut"),
    *(GATES_FAILED, BAD_INPUT),
)
BEGUN_STATES = ("Running", "Retrying", "Cancelling", "Paused", "Suspended")
WAITING_STATES = ("Scheduled", "Late", "AwaitingConcurrencySlot", "AwaitingRetry")
"""Names of states: Prefect names the event of a change by the state's name, not by its type."""

NOT_BEGUN_S = 1800
"""A container or pod may have an image of many gigabytes to fetch first."""

WATCHED = {
    *("after", "expect", "for_each", "match", "match_related", "posture", "threshold", "within"),
}


def crash_silent_runs(name: str = "crash-silent-runs") -> Piece:
    """A run whose worker died with it has nobody left to report it: it would run for ever.

    Each run tells the server that it lives every HEARTBEAT_S; three times missed, it is crashed.
    """
    return _crash(
        name,
        "A run that stopped telling that it lives is marked as crashed.",
        after="heartbeat",
        expect=("heartbeat", *END_STATES),
        within_s=SILENCE_S,
        message=f"The run was silent for {SILENCE_S} s: its worker or machine is gone",
    )


def crash_unbegun_runs(name: str = "crash-unbegun-runs") -> Piece:
    """A run whose worker died before it began tells nothing yet: it would be pending for ever."""
    return _crash(
        name,
        "A run that a worker took and that never began is marked as crashed.",
        after="Pending",
        expect=(*BEGUN_STATES, *WAITING_STATES, *END_STATES),
        within_s=NOT_BEGUN_S,
        message=f"The run did not begin within {NOT_BEGUN_S // 60} minutes: its worker is gone",
    )


def _crash(
    name: str, description: str, *, after: str, expect: tuple[str, ...], within_s: int, message: str
) -> Piece:
    """Crash a run of which nothing that is expected is told in time after something was."""
    trigger = EventTrigger(
        after={f"prefect.flow-run.{after}"},
        expect={f"prefect.flow-run.{each}" for each in expect},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=within_s),
    )
    action = ChangeFlowRunState(state=StateType.CRASHED, message=message)
    return _piece(
        AutomationCore(name=name, description=description, trigger=trigger, actions=[action])
    )


def _piece(automation: AutomationCore) -> Piece:
    def found(client: "SyncPrefectClient") -> dict[str, Any] | None:
        there = client.read_automations_by_name(automation.name)
        return essence(there[0]) if len(there) == 1 else None

    def put(client: "SyncPrefectClient") -> None:
        # One of several with the same name cannot be told from the others: all give way.
        for old in client.read_automations_by_name(automation.name):
            client.delete_automation(old.id)
        client.create_automation(automation)

    return Piece(f"automation {automation.name}", essence(automation), found, put)


def essence(automation: AutomationCore) -> dict[str, Any]:
    """What an automation watches and does, without what the server adds, in an order of its own."""
    document = automation.model_dump(mode="json", exclude={"trigger": {"id"}})
    trigger = {
        key: sorted(value) if isinstance(value, list) else value
        for key, value in document["trigger"].items()
        if key in WATCHED
    }
    return {
        "trigger": trigger,
        "actions": document["actions"],
        "enabled": document["enabled"],
    }
