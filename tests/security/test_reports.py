"""The reports' server gives what lies in its folder, to read, and to nobody by a foreign name."""

import http.client
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.report.serve import ReportPages

SECRET = b"not to be seen"


class Silent(ReportPages):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("store")
    runs = folder / "runs"
    (runs / "small").mkdir(parents=True)
    (runs / "small" / "report.html").write_text("<h1>small</h1>")
    (folder / "secret").write_bytes(SECRET)
    (runs / "link").symlink_to(folder / "secret")
    (runs / "up").symlink_to(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(runs))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(port: int, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"{host}:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_a_page_is_served_and_its_links_may_lead_nowhere_else(port: int) -> None:
    assert ask(port, "/small/report.html") == (200, b"<h1>small</h1>")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/small/../../secret",
        "/small/%2e%2e%2f%2e%2e%2fsecret",
        "//../secret",
        "/link",
        "/up/secret",
        "/up/",
        "/..\\secret",
    ],
)
def test_ways_out_are_not_found(port: int, path: str) -> None:
    status, body = ask(port, path)
    assert status == 404
    assert SECRET not in body


PARTS = st.sampled_from(["..", "%2e%2e", "..%2f", "small", "link", "up", "secret", "", ".", "%00"])


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(PARTS, max_size=6))
def test_no_path_shows_what_lies_outside(port: int, parts: list[str]) -> None:
    status, body = ask(port, "/" + "/".join(parts))
    assert SECRET not in body
    assert status in (200, 301, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/small/report.html", method)[0] == 501


def test_a_foreign_name_for_loopback_is_not_answered(port: int) -> None:
    assert ask(port, "/small/report.html", host="attacker.example")[0] == 421
    assert ask(port, "/small/report.html", host="localhost")[0] == 200
