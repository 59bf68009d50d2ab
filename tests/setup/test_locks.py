"""The locks pin, hash and cover what pyproject.toml asks for, and tie nobody to an index."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-gpu.lock")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@dataclass(frozen=True)
class Pin:
    """One ``name==version`` of a lock, with the marker that says where it holds."""

    name: str
    version: Version
    marker: Marker | None
    hashes: int

    def holds_on(self, python: str) -> bool:
        """Whether it is installed on Linux, x86-64, with that Python."""
        environment = {
            "python_version": python,
            "python_full_version": f"{python}.9",
            "sys_platform": "linux",
            "platform_machine": "x86_64",
            "platform_system": "Linux",
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
        }
        return self.marker is None or self.marker.evaluate(environment)


def pins(lock: str) -> list[Pin]:
    """The pins of a lock; a line that is none of the expected kinds fails the test."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(
            r"([\w.-]+)==(\S+)(?: ; (.*?))?((?:\s+--hash=sha256:[0-9a-f]{64})*)\s*", line
        )
        assert match, f"{lock}: {line!r} is not a pinned requirement"
        name, version, marker, hashes = match.groups()
        found.append(
            Pin(
                canonicalize_name(name),
                Version(version),
                Marker(marker) if marker else None,
                hashes.count("--hash="),
            )
        )
    return found


def asked_for(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for that a lock must answer."""
    lines = {
        "requirements.lock": PROJECT["dependencies"] + EXTRAS["build"],
        "requirements-dev.lock": PROJECT["dependencies"] + EXTRAS["build"] + EXTRAS["dev"],
        # tensorrt comes with the image's base, never from an index.
        "requirements-gpu.lock": [line for line in EXTRAS["gpu"] if "tensorrt" not in line],
    }
    return [Requirement(line) for line in lines[lock]]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-(-index-url|-extra-index-url|-find-links|f|i)\b", text, re.M)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_installed_pin_is_hashed(lock: str) -> None:
    bare = {pin.name for pin in pins(lock) if not pin.hashes and any(map(pin.holds_on, PYTHONS))}
    assert not bare


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_each_python_gets_one_version_that_the_project_accepts(lock: str, python: str) -> None:
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    installed: dict[str, list[Version]] = {}
    for pin in pins(lock):
        if pin.holds_on(python):
            installed.setdefault(pin.name, []).append(pin.version)
    assert {name: versions for name, versions in installed.items() if len(versions) > 1} == {}
    for requirement in asked_for(lock):
        versions = installed.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not in {lock} for Python {python}"
        assert requirement.specifier.contains(versions[0], prereleases=True), requirement


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_the_other_locks_hold_the_same_pins(lock: str) -> None:
    """An environment made for the tests is therefore one that `make demo` accepts as well."""
    base = {(pin.name, str(pin.marker)): pin.version for pin in pins("requirements.lock")}
    other = {(pin.name, str(pin.marker)): pin.version for pin in pins(lock)}
    differing = {
        key: (base[key], other[key])
        for key in base.keys() & other.keys()
        if base[key] != other[key]
    }
    assert not differing
    if lock == "requirements-dev.lock":
        assert base.keys() <= other.keys()


def test_no_installed_pin_is_a_classic_tensorrt_library() -> None:
    """No public index carries all of it; a lock that asks for it installs nowhere."""
    names = {pin.name for lock in LOCKS for pin in pins(lock) if any(map(pin.holds_on, PYTHONS))}
    classic = {name for name in names if name.startswith("tensorrt") and "-rtx-" not in name}
    assert classic == {"tensorrt-stubs"}
