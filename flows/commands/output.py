"""Where commands speak: results on stdout, everything else on stderr."""

import logging
import sys


def log_to_stderr() -> None:
    """Print what stages log as plain lines on stderr, once, apart from Prefect's own log."""
    log = logging.getLogger("enginesmith")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.StreamHandler(sys.stderr))
