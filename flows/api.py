"""The Prefect server that the user has, or one line that says why it cannot be used."""

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from schemas.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

TIMEOUT_S = 10


@contextmanager
def api() -> "Iterator[SyncPrefectClient]":
    """A client of the server that PREFECT_API_URL or the Prefect profile names.

    Raises InputError where there is none, it does not answer or refuses the credentials.
    """
    check_server()
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def check_server() -> str:
    """The server's API URL, after it answered and took the credentials.

    Prefect's own client tries again for half a minute and then shows a traceback. Raises
    InputError.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings().api
    url = settings.url
    if not url:
        raise InputError(
            "no Prefect server is named: set PREFECT_API_URL, such as "
            "http://127.0.0.1:4200/api after `docker compose up -d`"
        )
    request = urllib.request.Request(f"{url.rstrip('/')}/admin/version")
    secret = settings.auth_string
    if secret is not None:
        token = base64.b64encode(secret.get_secret_value().encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return url
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            given = "refuses these credentials" if secret else "asks for credentials"
            raise InputError(
                f"the Prefect server at {url} {given}: set PREFECT_API_AUTH_STRING to its "
                "user:password, with `docker compose` admin:$ENGINESMITH_PASSWORD"
            ) from error
        raise InputError(
            f"{url} answers with HTTP {error.code} where a Prefect API is expected: "
            "correct PREFECT_API_URL, which ends in /api"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"no Prefect server answers at {url} ({reason}): start it with `docker compose up -d`, "
            "or correct PREFECT_API_URL"
        ) from error
