"""The services of the compose files, as the scripts that run them without Compose need them."""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


class ComposeError(Exception):
    """The compose files cannot be used as they are; the message says what is missing."""


@dataclass(frozen=True)
class Service:
    """One service, merged and interpolated."""

    name: str
    definition: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """What the compose files set, without the image's own."""
        return {key: str(value) for key, value in self.definition.get("environment", {}).items()}

    @property
    def command(self) -> list[str]:
        """Entry point and arguments; the image's entry point where the service has none."""
        entrypoint = self.definition.get("entrypoint", ["enginesmith"])
        return [*entrypoint, *self.definition.get("command", [])]

    @property
    def after(self) -> dict[str, str]:
        """What it waits for, and for what: service_healthy or service_completed_successfully."""
        return {
            name: how["condition"] for name, how in self.definition.get("depends_on", {}).items()
        }

    @property
    def health(self) -> list[str]:
        """The command that says whether it is well; empty for what runs once."""
        test = self.definition.get("healthcheck", {}).get("test", [])
        return [str(word) for word in test[1:]]

    @property
    def mounts(self) -> dict[str, str]:
        """Path in the container to volume name or host path."""
        pairs = (volume.split(":") for volume in self.definition.get("volumes", []))
        return {pair[1]: pair[0] for pair in pairs}

    @property
    def stop(self) -> tuple[str, float]:
        """The signal that stops it, and how many seconds it may take."""
        text = self.definition.get("stop_grace_period", "10s")
        seconds = float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
        return self.definition.get("stop_signal", "SIGTERM"), seconds


class _Reset:
    """``!reset null``: what an earlier file said of this is gone."""


class _Loader(yaml.SafeLoader):
    pass


_Loader.add_constructor("!reset", lambda *_: _Reset())


def _merged(below: Any, above: Any) -> Any:
    if isinstance(above, _Reset):
        return None
    if isinstance(below, dict) and isinstance(above, dict):
        whole = {key: _merged(below.get(key), value) for key, value in above.items()}
        return {key: value for key, value in (below | whole).items() if value is not None}
    return above


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def of(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        if variables.get(name):
            return variables[name]
        if kind == "-":
            return str(text)
        raise ComposeError(f"{name} is not set: {text or 'set it'}")

    return VARIABLE.sub(of, value)


def services(*files: str, variables: Mapping[str, str] = os.environ) -> dict[str, Service]:
    """The services of ``docker-compose.yml`` and what is laid over it, in order of their start.

    One-shots, which have a profile, are left out. Raises ComposeError where a variable is missing.
    """
    document: Any = {}
    for file in files:
        above = yaml.load((ROOT / file).read_text(encoding="utf-8"), _Loader)
        document = _merged(document, above)
    waiting = {
        name: Service(name, _interpolated(definition, variables))
        for name, definition in document["services"].items()
        if not definition.get("profiles")
    }
    ordered: dict[str, Service] = {}
    while waiting:
        ready = [s for s in waiting.values() if set(s.after) <= set(ordered)]
        if not ready:
            raise ComposeError(f"{', '.join(waiting)} wait for each other")
        ordered |= {service.name: service for service in ready}
        for service in ready:
            del waiting[service.name]
    return ordered


def image_environment() -> dict[str, str]:
    """What the Dockerfile sets for every service of its image."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, str] = {}
    for line in re.findall(r"^ENV (.+)$", text, re.M):
        found |= dict(word.split("=", 1) for word in shlex.split(line))
    return found
