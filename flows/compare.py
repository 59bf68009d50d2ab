"""Two finished runs side by side, on the server."""

import re
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.comparison import compare_runs, find
from flows.deployed import BAD_INPUT
from schemas.errors import InputError
from tasks.artifacts.store import current_store
from tasks.compare.markdown import render


@flow(name="compare", flow_run_name="compare-{left}-{right}", persist_result=False)
def compare(left: str, right: str) -> State[Any]:
    """Set two runs side by side: configs, environments, figures, graphs and layers.

    Args:
        left: A job (its newest run), JOB@N (build N of its history), or the folder of a run.
        right: Another.
    """
    try:
        store = current_store()
        found = compare_runs(find(store, left), find(store, right))
    except InputError as error:
        return Failed(name=BAD_INPUT, message=str(error))
    create_markdown_artifact(
        key=f"compare-{_key(left)}-{_key(right)}",
        markdown=render(found),
        description=f"{left} and {right}",
    )
    cautions = f"; {len(found.cautions)} cautions" if found.cautions else ""
    return Completed(message=f"{left} and {right} compared{cautions}", data=found)


def _key(name: str) -> str:
    """A run's name in the letters that Prefect allows an artifact's key."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
