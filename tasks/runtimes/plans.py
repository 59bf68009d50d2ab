"""Plans with their manifests: written side by side, checked when opened."""

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from schemas.engine import LayerTable, Manifest
from schemas.errors import InputError
from tasks.artifacts.store import sha256_of_file
from tasks.runtimes.protocol import Session
from tasks.runtimes.registry import runtime


def manifest_path(plan: Path) -> Path:
    return plan.with_name(f"{plan.name}.manifest.json")


def layers_path(plan: Path) -> Path:
    return plan.with_name(f"{plan.name}.layers.json")


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with a digest over its other fields, so that an edit shows."""
    return manifest.model_copy(update={"seal": _seal(manifest)})


def _seal(manifest: Manifest) -> str:
    fields = manifest.model_dump(mode="json", exclude={"seal"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def write_beside(plan: Path, manifest: Manifest, layers: LayerTable) -> None:
    """Write the manifest and the table of layers beside a plan."""
    for path, model in ((layers_path(plan), layers), (manifest_path(plan), manifest)):
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.write_text(model.model_dump_json(indent=2) + "\n")
        temporary.replace(path)


def read_manifest(plan: Path) -> Manifest:
    """The manifest beside a plan. Raises InputError where it is missing, broken or edited."""
    path = manifest_path(plan)
    if not plan.is_file():
        raise InputError(f"no plan {plan}: check the path")
    if not path.is_file():
        raise InputError(
            f"{plan} has no manifest {path.name} beside it: copy it too, or build the plan again"
        )
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"])) or "the file"
        raise InputError(
            f"manifest {path} is not valid ({field}: {problem['msg']}): build the plan again"
        ) from error
    if manifest.seal != _seal(manifest):
        raise InputError(f"manifest {path} was edited after the build: build the plan again")
    return manifest


def check_plan(plan: Path, manifest: Manifest) -> None:
    """Raises InputError where the file is not the manifest's plan, or was built for elsewhere."""
    if sha256_of_file(plan) != manifest.plan_sha256:
        size = plan.stat().st_size
        what = (
            f"has {size} bytes of {manifest.plan_bytes}"
            if size != manifest.plan_bytes
            else "holds other bytes"
        )
        raise InputError(f"{plan} is not the plan of its manifest ({what}): build it again")
    try:
        runtime(manifest.engine).check(manifest)
    except InputError as error:
        raise InputError(f"{plan}: {error}") from error


def open_plan(plan: Path, manifest: Manifest | None = None, *, threads: int = 0) -> Session:
    """Load a plan for inference; without ``manifest`` the one beside it is taken.

    Raises InputError, in one line, where the plan is damaged, was built by another version or for
    another GPU, or cannot run here.
    """
    manifest = manifest or read_manifest(plan)
    check_plan(plan, manifest)
    return runtime(manifest.engine).open(plan, threads=threads, manifest=manifest)
