"""A job with hostile names, really run, and the servers that tests of it need."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import yaml

from tests.artifacts.conftest import s3_server  # noqa: F401
from tests.operations.conftest import BIN, ROOT, clean_environment
from tests.security.odd_network import odd_images, odd_job

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s3-secret-wJalrXUtnFEMI",
    "AWS_SESSION_TOKEN": "s3-session-FwoGZXIvYXdz",
    "PREFECT_API_KEY": "pnu-key-2f6c1d9a7b",
    "ENGINESMITH_PASSWORD": "password-of-the-server",
    "ENGINESMITH_NOTIFY_URL": "https://hooks.example/services/webhook-token",
}
"""Set for the run as an operator would set them; looked for in everything that it leaves."""

WHERE = ("--artifacts", "s3://odd/store")


@dataclass(frozen=True)
class OddRun:
    """The finished run: what it said, its folder of this machine, and its bucket's content."""

    said: str
    folder: Path
    objects: dict[str, bytes]

    @property
    def pages(self) -> Path:
        (page,) = self.folder.rglob("runs/odd/report.html")
        return page.parent


@pytest.fixture(scope="session")
def odd_run(
    s3_server: str,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> OddRun:
    """`enginesmith run --debug` of the odd network into an S3 store, with secrets around."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd.yaml").write_text(yaml.safe_dump(odd_job(odd_images(folder / "images"))))
    given = {
        **SECRETS,
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "access",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ENGINESMITH_STORE_COPIES": str(folder / "copies"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": str(ROOT),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="odd")
        run = subprocess.run(
            [BIN / "enginesmith", "run", folder / "odd.yaml", *WHERE, "--debug"],
            env=clean_environment() | given,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr[-3000:]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="odd")
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        objects = {key: s3.get_object(Bucket="odd", Key=key)["Body"].read() for key in keys}
    return OddRun(run.stdout + run.stderr, folder, objects)
