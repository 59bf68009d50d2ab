"""Somebody is told: the server calls a webhook of theirs when a run fails."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flows.deploy.automations import END_STATES
from flows.deploy.notify import AUTOMATION, BLOCK, BLOCK_TYPE, notifications
from flows.deployed import BAD_INPUT, GATES_FAILED
from schemas.errors import InputError
from tests.operations.conftest import Service
from tests.operations.test_service import Done


@dataclass
class Listener:
    """A webhook of the test's."""

    url: str
    heard: list[dict[str, Any]] = field(default_factory=list)

    def next(self, seconds: float = 30) -> str:
        deadline = time.monotonic() + seconds
        while not self.heard and time.monotonic() < deadline:
            time.sleep(0.2)
        assert self.heard, "nobody was told"
        said = self.heard.pop(0)
        assert set(said) == {"text"}
        return str(said["text"])


@pytest.fixture
def listener() -> Iterator[Listener]:
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    found = Listener(f"http://127.0.0.1:{server.server_port}/hooks/0123456789-secret")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()


@pytest.fixture
def nobody_told_afterwards(service: Service) -> Iterator[None]:
    yield
    with service.client() as client:
        for automation in client.read_automations_by_name(AUTOMATION):
            client.delete_automation(automation.id)
        client.delete_block_document(client.read_block_document_by_name(BLOCK, BLOCK_TYPE).id)


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.usefixtures("nobody_told_afterwards")
def test_a_failed_run_is_told_with_its_reason_and_its_page_and_a_good_one_is_not(
    service: Service, first_submit: Done, listener: Listener
) -> None:
    assert first_submit.returncode == 0
    made = service.enginesmith("deploy", ENGINESMITH_NOTIFY_URL="http://127.0.0.1:1/old")
    assert f"automation {AUTOMATION}: made" in made.stdout
    moved = service.enginesmith("deploy", ENGINESMITH_NOTIFY_URL=listener.url)
    assert f"webhook {BLOCK}: changed (url)" in moved.stdout
    assert f"automation {AUTOMATION}: as it should be" in moved.stdout
    again = service.enginesmith("deploy", "--check", ENGINESMITH_NOTIFY_URL=listener.url)
    assert again.returncode == 0, again.stdout
    assert "secret" not in moved.stdout + moved.stderr + again.stdout + again.stderr

    assert service.enginesmith("submit", "small").returncode == 0
    missed = service.enginesmith("submit", "small", "--set", "accuracy.min_top1=0.9999")
    assert missed.returncode == 1
    text = listener.next()
    assert text.startswith("build-small (build): Gates failed: small: ")
    assert "0.9999" in text
    assert f"{service.url}/runs/flow-run/" in text
    assert service.enginesmith("submit", "nosuch").returncode == 2
    assert "Bad input: there is no job 'nosuch'" in listener.next()
    assert not listener.heard


@pytest.mark.parametrize(
    "url", ["hooks.example/secret", "ftp://hooks.example/secret", "https:///x"]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError, match="ENGINESMITH_NOTIFY_URL: not the address") as refused:
        notifications(url)
    assert url not in str(refused.value)


def test_every_name_that_a_run_of_ours_ends_with_is_known_to_what_watches_over_silence() -> None:
    assert {BAD_INPUT, GATES_FAILED, "Completed", "Failed", "Crashed"} <= set(END_STATES)
