"""Processes that a test kills and starts again, and the volume that the store lies on."""

import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POLL_S = 0.05


def until(holds: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait for something; the seconds it took. Fails where it does not come in time."""
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < within_s, f"{what}: not within {within_s:g} s"
        time.sleep(POLL_S)
    return time.monotonic() - started


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def family(pid: int) -> list[int]:
    """A process and all that it started, itself first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(stat[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def kill(*pids: int, sign: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sign)


def other_user(owner: int) -> dict[str, Any]:
    """How ``Popen`` starts a process of another user; Postgres may not be root's."""
    if owner == os.geteuid():
        return {}
    return {"user": owner, "group": pwd.getpwuid(owner).pw_gid, "extra_groups": []}


@dataclass
class Part:
    """A process of the service, as it was started."""

    command: list[str]
    environment: dict[str, str]
    folder: Path
    log: Path
    pid: int = 0
    owner: int = field(default_factory=os.geteuid)
    _started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @classmethod
    def running(cls, pid: int, log: Path) -> "Part":
        """What runs already, read from the process itself."""
        process = Path(f"/proc/{pid}")
        words = (process / "cmdline").read_text().removesuffix("\0").split("\0")
        settings = (process / "environ").read_text().removesuffix("\0").split("\0")
        environment = dict(each.split("=", 1) for each in settings)
        owner = process.stat().st_uid
        return cls(words, environment, (process / "cwd").readlink(), log, pid, owner)

    def start(self) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **other_user(self.owner),
            )
        self._started.append(process)
        self.pid = process.pid

    def end(self, sign: signal.Signals, within_s: float = 30.0) -> None:
        """Signal the process; what it started ends with it, or is killed."""
        pids = family(self.pid)
        kill(self.pid, sign=sign)
        until(lambda: not alive(self.pid), within_s, f"{self.command[0]} ends at {sign.name}")
        kill(*pids)
        until(lambda: not any(map(alive, pids)), within_s, "its children end")
        self.reap()

    def reap(self) -> None:
        for process in self._started:
            process.poll()


@dataclass
class Parts:
    """The parts that ``scripts/operations-up`` started, which it also ends."""

    state: Path

    def get(self, name: str) -> Part:
        return Part.running(self._pids()[name][0], self.state / "logs" / f"{name}.log")

    def replaced(self, name: str, part: Part) -> None:
        pids = self._pids()
        pids[name][0] = part.pid
        (self.state / "processes.json").write_text(json.dumps(pids))

    def _pids(self) -> dict[str, list[int]]:
        pids: dict[str, list[int]] = json.loads((self.state / "processes.json").read_text())
        return pids


@dataclass(frozen=True)
class Volume:
    """What the store lies on: a small file system of its own where that may be mounted."""

    folder: Path
    mounted: bool

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is left."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)


@contextmanager
def volume(folder: Path, size: str) -> Iterator[Volume]:
    """A file system in memory, or where none may be mounted, the folder itself."""
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    try:
        done = subprocess.run(["mount", *options, folder], capture_output=True, check=False)
        mounted = done.returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield Volume(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
