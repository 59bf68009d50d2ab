"""What the server gives to those without its password: nothing; and what it never shows at all."""

import asyncio
import base64
import json
import re
import subprocess
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from tests.operations.conftest import Service

pytestmark = pytest.mark.slow
PUBLIC = {("get", "/health"), ("get", "/ready")}
"""What a health check asks for; it says only that the server is there."""
SOCKETS = (
    "events/in",
    "events/out",
    "logs/out",
    "task_runs/subscriptions/scheduled",
    "work_pools/enginesmith/workers/connect",
)


def status_of(url: str, method: str, **headers: str) -> int:
    data = b"{}" if method in ("post", "put", "patch") else None
    request = urllib.request.Request(
        url,
        method=method.upper(),
        data=data,
        headers={"Content-Type": "application/json"} | headers,
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def routes(service: Service) -> list[tuple[str, str]]:
    """Every method and path that the server's own description of its API names."""
    token = "Basic " + base64.b64encode(service.auth.encode()).decode()
    request = urllib.request.Request(
        f"{service.url}/api/openapi.json", headers={"Authorization": token}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        paths = json.load(answer)["paths"]
    return [(method, path.removeprefix("/api")) for path in paths for method in paths[path]]


def test_every_route_asks_for_the_password(service: Service, routes: list[tuple[str, str]]) -> None:
    """Of who has a form's token, which only who has the password gets; without it there is 403."""
    asked = str(uuid.uuid4())
    with service.client() as client:
        answer = client.request("GET", "/csrf-token", params={"client": asked})
    token = {"Prefect-Csrf-Client": asked, "Prefect-Csrf-Token": answer.json()["token"]}
    assert len(routes) > 150
    open_to_all = set()
    for method, path in routes:
        filled = re.sub(r"\{[^}]*\}", str(uuid.UUID(int=0)), path)
        if status_of(f"{service.url}/api{filled}", method, **token) != 401:
            open_to_all.add((method, path))
    assert open_to_all == PUBLIC
    assert status_of(f"{service.url}/api/flows/filter", "post") == 403


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Bearer x", "Basic " + base64.b64encode(b"admin:").decode()],
)
def test_what_is_not_the_password_is_refused(service: Service, header: str) -> None:
    assert status_of(f"{service.url}/api/admin/settings", "get", Authorization=header) == 401


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("subprotocol", [None, "prefect"])
def test_no_socket_takes_or_tells_anything(
    service: Service, path: str, subprotocol: str | None
) -> None:
    url = f"{service.url.replace('http', 'ws', 1)}/api/{path}"

    async def talk() -> str:
        chosen = None if subprotocol is None else [websockets.Subprotocol(subprotocol)]
        async with websockets.connect(url, subprotocols=chosen) as socket:
            await socket.send(json.dumps({"type": "auth", "token": "admin:wrong"}))
            return str(await asyncio.wait_for(socket.recv(), 20))

    with pytest.raises((ConnectionClosed, websockets.InvalidStatus)):
        asyncio.run(talk())


def test_the_database_listens_on_loopback_with_a_password(service: Service) -> None:
    (command,) = [
        words
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if (words := process.read_bytes().decode(errors="replace").split("\0"))
        and words[0].endswith("postgres")
        and "-D" in words
        and _is_of(service, process)
    ]
    assert command[command.index("-h") + 1] == "127.0.0.1"
    folder = Path(command[command.index("-D") + 1])
    rules = (folder / "pg_hba.conf").read_text().splitlines()
    methods = {line.split()[-1] for line in rules if line.strip() and not line.startswith("#")}
    assert methods == {"scram-sha-256"}


def _is_of(service: Service, process: Path) -> bool:
    started = json.loads((service.state / "processes.json").read_text())
    return int(process.parent.name) == started["database"][0]


def test_neither_logs_nor_the_api_nor_files_show_a_secret(
    service: Service, first_submit: "subprocess.CompletedProcess[str]"
) -> None:
    assert first_submit.returncode == 0
    password = service.auth.partition(":")[2]
    secrets = [password, base64.b64encode(service.auth.encode()).decode().rstrip("=")]
    shown = {"submit": first_submit.stdout + first_submit.stderr}
    with service.client() as client:
        for kind in ("flow_runs", "task_runs", "deployments", "work_pools", "artifacts", "logs"):
            body = {"limit": 200}
            shown[kind] = client.request("POST", f"/{kind}/filter", json=body).text  # type: ignore[arg-type]
        shown["settings"] = client.request("GET", "/admin/settings").text
        pool = {"work_pool_name": "enginesmith"}
        workers = client.request(
            "POST", "/work_pools/{work_pool_name}/workers/filter", path_params=pool, json={}
        )
        shown["workers"] = workers.text
    assert len(json.loads(shown["flow_runs"])) >= 1
    files = [path for path in service.state.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    for path in files:
        # What is meant for clients, and readable by its owner alone.
        if path.name == "client.env":
            assert path.stat().st_mode & 0o077 == 0
            continue
        shown[str(path)] = path.read_bytes().decode("latin-1")
    for secret in secrets:
        assert [where for where, text in shown.items() if secret in text] == []
