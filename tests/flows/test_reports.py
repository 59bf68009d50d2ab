"""Serving the report pages, and the links that lead there."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tasks.report.layout import REPORTS_URL_VARIABLE, page_url

REPORTS = (sys.executable, "-c", "from flows.cli import main; main()", "reports")


def test_pages_are_served_and_nothing_beside_them(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "small"
    run.mkdir(parents=True)
    (run / "report.html").write_text("<h1>small</h1>", encoding="utf-8")
    (tmp_path / "secret").write_text("not to be seen", encoding="utf-8")
    server = subprocess.Popen(
        [*REPORTS, "--artifacts", tmp_path, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        address = server.stderr.readline().split(" on ")[1].strip()
        with urllib.request.urlopen(f"{address}small/report.html") as answer:
            assert answer.read() == b"<h1>small</h1>"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}../secret")
        taken = subprocess.run(
            [*REPORTS, "--artifacts", tmp_path, "--port", address.strip("/").rpartition(":")[2]],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.terminate()
        server.wait(10)
    told = subprocess.Popen(
        [*REPORTS, "--artifacts", tmp_path, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert told.stdout is not None
        address = json.loads(told.stdout.readline())["url"]
        with urllib.request.urlopen(f"{address}small/report.html") as answer:
            assert answer.read() == b"<h1>small</h1>"
    finally:
        told.terminate()
        told.wait(10)
    # It can be mounted read-only: a store would have made its folders.
    assert {found.name for found in tmp_path.iterdir()} == {"runs", "secret"}
    assert taken.returncode == 2
    assert "choose another --port" in taken.stderr
    assert len(taken.stderr.splitlines()) == 1


def test_links_lead_to_where_pages_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REPORTS_URL_VARIABLE, raising=False)
    assert page_url(tmp_path / "small") == (tmp_path / "small/report.html").as_uri()
    monkeypatch.setenv(REPORTS_URL_VARIABLE, "http://reports:4201/")
    assert page_url(tmp_path / "small") == "http://reports:4201/small/report.html"
