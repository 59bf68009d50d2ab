"""What a run delivers, under names that a person can read."""

import errno
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from schemas.artifact import ArtifactRef
from schemas.report import ReportResult, RunReport
from tasks.artifacts.store import Store
from tasks.runtimes.plans import write_beside

REPORTS_URL_VARIABLE = "ENGINESMITH_REPORTS_URL"


def run_folder(store: Store, job_name: str) -> Path:
    """Where the newest run of a job lies: ``runs/<job>`` in the store."""
    return store.root / "runs" / job_name


def page_url(folder: Path) -> str:
    """Where a browser finds the page of a run folder.

    ENGINESMITH_REPORTS_URL says under which address ``runs`` is served; without it, the file.
    """
    served = os.environ.get(REPORTS_URL_VARIABLE)
    if served:
        return f"{served.rstrip('/')}/{folder.name}/report.html"
    return (folder / "report.html").as_uri()


def lay_out(store: Store, job_name: str, result: ReportResult) -> Path:
    """Put the report and each engine's plan, manifest and graph, into the job's run folder.

    They are copies, so that nothing done to them harms the store. The folder of the run before is
    replaced as a whole.
    """
    report = store.load(result.json_report, RunReport)
    files: dict[str, ArtifactRef] = {
        "report.md": result.markdown,
        "report.json": result.json_report,
        "report.html": result.page,
    }
    for engine in report.engines:
        files |= {f"{x.name}.plan": x.plan for x in engine.plans if x.plan is not None}
        files |= {f"{x.name}.onnx": x.graph for x in engine.plans if x.graph is not None}
        files |= {x.file_name: x.plan for x in engine.further}
    folder = run_folder(store, job_name)
    folder.parent.mkdir(exist_ok=True)
    with store.workspace() as scratch:
        fresh = scratch / "new"
        fresh.mkdir()
        for name, ref in files.items():
            shutil.copyfile(store.open(ref), fresh / name)
        for engine in report.engines:
            for x in engine.plans:
                write_beside(fresh / f"{x.name}.plan", x.manifest, x.layers)
            for y in engine.further:
                write_beside(fresh / y.file_name, y.manifest, y.layers)
        put_in_place(fresh, folder, scratch)
    return folder


def put_in_place(fresh: Path, folder: Path, scratch: Path) -> None:
    """Move ``fresh`` to ``folder``, and what is there into ``scratch``, all of one file system.

    Another run may be doing the same.
    """
    while True:
        try:
            # Onto a folder with something in it, Linux renames none.
            fresh.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        with suppress(FileNotFoundError):
            folder.rename(scratch / uuid.uuid4().hex)
