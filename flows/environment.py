"""What Prefect must be told before it is imported."""

import os
from pathlib import Path

from flows.server import has_server
from tasks.artifacts.store import ARTIFACTS_VARIABLE


def configure(artifacts: Path, *, debug: bool = False) -> None:
    """Point this process, and every process it starts, at an artifact folder.

    Results lie beside the objects they refer to, so that a moved folder keeps its hits. Telemetry
    is off. A setting that the user made already is left alone, except the folder.
    """
    artifacts = artifacts.absolute()
    os.environ[ARTIFACTS_VARIABLE] = str(artifacts)
    os.environ["PREFECT_LOCAL_STORAGE_PATH"] = str(artifacts / "results")
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # A fresh database takes its migrations first, on a slow machine longer than Prefect waits.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        # Stages report themselves through this logger, and a failure is reported once, in one line.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "enginesmith",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_LEVEL": "DEBUG" if debug else "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING" if debug else "CRITICAL",
    }
    if not has_server():
        # Prefect then starts a server for this run alone: what only a lasting one needs costs time.
        defaults |= {
            "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
