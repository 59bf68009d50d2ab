"""What is installed is known by name, version and hash."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name to version, from what `make sbom` writes."""
    if shutil.which("uvx") is None or shutil.which("make") is None:
        pytest.skip("uvx or make is not here: pip install uv")
    folder = tmp_path_factory.mktemp("sbom")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    made = subprocess.run(
        ["make", "sbom"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    if "Failed to fetch" in made.stderr or "not found in the" in made.stderr:
        pytest.skip("cyclonedx-bom cannot be had from here")
    assert made.returncode == 0, made.stderr
    document = json.loads((folder / "build" / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "enginesmith"
    return {part["name"].lower(): part["version"] for part in document["components"]}


def test_the_bill_lists_every_locked_package_with_its_version(bill: dict[str, str]) -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.M)
    assert re.search(r"^torch==2\.\d+", text, re.M)
    assert bill["torch"] == dict(locked)["torch"]
    assert {name.lower() for name, _ in locked} == set(bill)
    versions = {(name.lower(), version) for name, version in locked}
    assert set(bill.items()) <= versions


def test_the_audit_covers_every_lock_that_an_image_installs_and_skips_nothing() -> None:
    """It asks a service on the network, so that what it finds is not tested here."""
    said = subprocess.run(
        ["make", "--dry-run", "audit"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    installed = re.findall(r"-r (requirements[\w-]*\.lock)", (ROOT / "Dockerfile").read_text())
    for lock in set(installed):
        (line,) = [line for line in said.splitlines() if line.endswith(f"-r {lock}")]
        assert "--strict" in line
        assert "--require-hashes" in line
        assert re.search(r"pip-audit==\d", line)
