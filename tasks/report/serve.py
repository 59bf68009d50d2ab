"""The reports over HTTP: what lies in one folder, to read, and nothing else."""

from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A page carries all that it needs, so nothing in it has to talk to anywhere else.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'none'"


class ReportPages(SimpleHTTPRequestHandler):
    """Serves ``directory`` read-only.

    A link that leads out of the folder is not there. Whoever listens on loopback answers only to
    loopback's names, so that no web page reaches it by a name of its own (DNS rebinding).
    """

    def send_head(self) -> BinaryIO | None:
        if not self._asked_by_its_name():
            self.send_error(
                421, "pages here answer to the names of loopback: have a proxy send Host"
            )
            return None
        if not self._is_inside():
            self.send_error(404)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def _is_inside(self) -> bool:
        try:
            place = Path(self.translate_path(self.path)).resolve()
        except (ValueError, OSError, RuntimeError):
            return False  # Such as a name with a zero byte, or links in a circle.
        return place.is_relative_to(Path(self.directory).resolve())

    def _asked_by_its_name(self) -> bool:
        address = self.server.server_address
        if not isinstance(address, tuple) or address[0] not in LOOPBACK:
            return True
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        return name.strip("[]") in LOOPBACK
