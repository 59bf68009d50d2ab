"""What Prefect must be told before it is imported."""

import os

from flows.server import has_server
from tasks.artifacts.store import ARTIFACTS_VARIABLE, Store


def configure(store: Store, *, debug: bool = False) -> None:
    """Point this process, and every process it starts, at an artifact store.

    Results lie beside the objects they refer to, so that a moved folder keeps its hits. Telemetry
    is off. A setting that the user made already is left alone, except the store.
    """
    os.environ[ARTIFACTS_VARIABLE] = store.location
    os.environ["PREFECT_LOCAL_STORAGE_PATH"] = str(store.root / "results")
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
    if has_server():
        defaults |= {
            # So often a run says that it lives; flows/deploy/automations.py waits three times that.
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            # What a server answers whose database is away. Asked again for a minute, as Prefect
            # does where the server itself is away; a worker would give up within seconds.
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        }
    else:
        # Prefect then starts a server for this run alone: what only a lasting one needs costs time.
        defaults |= {
            "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def configure_worker(store: Store, *, debug: bool = False) -> None:
    """Point this process and the runs that it starts at an artifact store.

    Unlike a run of one's own, a worker's log is read on the server, with a line for what it does.
    """
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "DEBUG" if debug else "INFO")
    configure(store, debug=debug)


def quiet() -> None:
    """For commands that only talk to a server: one line about a failure, not Prefect's own log."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("DO_NOT_TRACK", "1")
