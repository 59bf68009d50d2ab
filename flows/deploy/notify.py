"""Telling somebody of failures: a webhook of theirs, which the server calls."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prefect.automations import AutomationCore
from prefect.client.schemas.actions import BlockDocumentCreate, BlockDocumentUpdate
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.deploy.automations import essence
from flows.deploy.piece import Piece
from schemas.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import BlockDocument

NOTIFY_VARIABLE = "ENGINESMITH_NOTIFY_URL"
BLOCK_TYPE, BLOCK = "webhook", "enginesmith-notify"
AUTOMATION = "tell-of-failures"

# "text" is what Slack, Mattermost, Rocket.Chat and Google Chat show. The first line of a message:
# what follows in an unexpected failure is its traceback, which is on the run's page.
MESSAGE = """\
{"text": {{ (flow_run.name ~ " (" ~ flow.name ~ "): " ~ flow_run.state.name ~ ": "
  ~ ((flow_run.state.message or "") ~ "\\n").split("\\n")[0] ~ "\\n" ~ (flow_run | ui_url))
  | tojson }} }"""


def notifications(url: str) -> list[Piece]:
    """The webhook and the automation that calls it when a run of ours failed or crashed.

    Raises InputError where the URL is none; it is not repeated, since whoever has it may write.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{NOTIFY_VARIABLE}: not the address of a webhook: write https://HOST/PATH"
        )
    return [_webhook(url), _tell_of_failures()]


def _webhook(url: str) -> Piece:
    """The block that holds the address; the server keeps it encrypted."""
    wanted = {"method": "POST", "url": url, "headers": {"Content-Type": "application/json"}}

    def found(client: "SyncPrefectClient") -> dict[str, Any] | None:
        there = _block(client, include_secrets=True)
        return None if there is None else dict(there.data)

    def put(client: "SyncPrefectClient") -> None:
        there = _block(client)
        if there is not None:
            client.update_block_document(there.id, BlockDocumentUpdate(data=wanted))
            return
        kind = client.read_block_type_by_slug(BLOCK_TYPE)
        schema = client.get_most_recent_block_schema_for_block_type(kind.id)
        assert schema is not None, "the server registers Prefect's own blocks when it starts"
        client.create_block_document(
            BlockDocumentCreate(
                name=BLOCK, data=wanted, block_type_id=kind.id, block_schema_id=schema.id
            )
        )

    return Piece(f"webhook {BLOCK}", wanted, found, put)


def _tell_of_failures() -> Piece:
    def automation(client: "SyncPrefectClient") -> AutomationCore:
        block = _block(client)
        assert block is not None, "the webhook comes before what calls it"
        return AutomationCore(
            name=AUTOMATION,
            description="A run that failed, missed a gate or crashed is told to the webhook.",
            trigger=EventTrigger(
                expect={"prefect.flow-run.*"},
                # By type: "Gates failed" and "Bad input" are names of FAILED.
                match={
                    "prefect.resource.id": "prefect.flow-run.*",
                    "prefect.state-type": ["FAILED", "CRASHED"],
                },
                match_related={
                    "prefect.resource.id": "prefect.tag.enginesmith",
                    "prefect.resource.role": "tag",
                },
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[CallWebhook(block_document_id=block.id, payload=MESSAGE)],
        )

    def found(client: "SyncPrefectClient") -> dict[str, Any] | None:
        there = client.read_automations_by_name(AUTOMATION)
        block = _block(client)
        if len(there) != 1 or block is None:
            return None
        differs = essence(there[0]) != essence(automation(client))
        return {"definition": "another" if differs else "ours"}

    def put(client: "SyncPrefectClient") -> None:
        for old in client.read_automations_by_name(AUTOMATION):
            client.delete_automation(old.id)
        client.create_automation(automation(client))

    return Piece(f"automation {AUTOMATION}", {"definition": "ours"}, found, put)


def _block(client: "SyncPrefectClient", *, include_secrets: bool = False) -> "BlockDocument | None":
    try:
        return client.read_block_document_by_name(
            BLOCK, BLOCK_TYPE, include_secrets=include_secrets
        )
    except ObjectNotFound:
        return None
