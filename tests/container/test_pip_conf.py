"""A container build sees this machine's pip configuration, whatever it is made of."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pip_conf(configuration: Path, *arguments: str, **variables: str) -> str:
    """Run the script where pip is configured by one file and some variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "container-pip-conf", *arguments],
        env=clean | {"PIP_CONFIG_FILE": str(configuration), "HOME": "/nonexistent"} | variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_variables_win_over_files_and_both_arrive(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nretries = 7\ntimeout = 20\n")
    parser = configparser.ConfigParser()
    parser.read_string(pip_conf(file, PIP_TIMEOUT="90"))
    assert parser["global"]["retries"] == "7"
    assert parser["global"]["timeout"] == "90"


def test_local_indexes_and_wheel_folders_are_mounted(tmp_path: Path) -> None:
    for name in ("index/simple", "wheels"):
        (tmp_path / name).mkdir(parents=True)
    file = tmp_path / "pip.conf"
    file.write_text(
        f"[global]\nextra-index-url = file://{tmp_path}/index/simple https://example.invalid/simple\n"
        f"find-links = {tmp_path}/wheels {tmp_path}/not-there\n"
    )
    folders = pip_conf(file, "--folders").splitlines()
    # An index links to files beside its pages, so the folder above them is what is mounted.
    assert set(folders) >= {f"{tmp_path}/index", f"{tmp_path}/wheels"}
    assert f"{tmp_path}/not-there" not in folders
    conf = configparser.ConfigParser()
    conf.read_string(pip_conf(file))
    assert conf["global"]["extra-index-url"].split() == [
        f"file://{tmp_path}/index/simple",
        "https://example.invalid/simple",
    ]
