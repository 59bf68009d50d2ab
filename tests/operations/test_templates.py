"""The work-pool templates, held against Prefect's own and against what they must start."""

import json
from pathlib import Path
from typing import Any, get_args

import prefect
import pytest
from jsonschema import Draft202012Validator
from prefect.utilities.templating import apply_values, find_placeholders

from flows.deploy.pool import PoolType, template
from schemas.errors import InputError

PREFECT_S = Path(prefect.__file__).parent.joinpath(
    "server/api/collections_data/views/aggregate-worker-metadata.json"
)
PACKAGES = {"process": "prefect", "docker": "prefect-docker", "kubernetes": "prefect-kubernetes"}
# What the classes of prefect-docker and prefect-kubernetes take beyond Prefect's own template.
BEYOND = {"process": set[str](), "docker": {"container_create_kwargs"}, "kubernetes": set[str]()}


def prefect_s_own(kind: str) -> dict[str, Any]:
    views = json.loads(PREFECT_S.read_text())
    own = views[PACKAGES[kind]][kind]["default_base_job_configuration"]
    assert isinstance(own, dict)
    return own


def job(kind: str, **given: object) -> dict[str, Any]:
    """What a worker makes of the template, the way that Prefect does it."""
    whole = template(kind)
    defaults = {
        name: variable["default"]
        for name, variable in whole["variables"]["properties"].items()
        if "default" in variable
    }
    filled = apply_values(whole["job_configuration"], defaults | given, remove_notset=True)
    assert isinstance(filled, dict)
    return filled


@pytest.mark.parametrize("kind", get_args(PoolType))
def test_it_fills_the_fields_that_prefect_s_worker_knows(kind: str) -> None:
    whole, own = template(kind), prefect_s_own(kind)
    assert set(whole) == {"job_configuration", "variables"}
    assert set(whole["job_configuration"]) <= set(own["job_configuration"]) | BEYOND[kind]
    Draft202012Validator.check_schema(whole["variables"])


@pytest.mark.parametrize("kind", get_args(PoolType))
def test_every_placeholder_has_a_variable_and_every_variable_a_placeholder(kind: str) -> None:
    whole = template(kind)
    used = {placeholder.name for placeholder in find_placeholders(whole["job_configuration"])}
    assert used == set(whole["variables"]["properties"])


@pytest.mark.parametrize("kind", get_args(PoolType))
def test_every_default_fits_its_own_schema(kind: str) -> None:
    for name, variable in template(kind)["variables"]["properties"].items():
        if "default" in variable:
            assert Draft202012Validator(variable).is_valid(variable["default"]), name


def test_a_docker_run_gets_the_gpus_the_volume_and_no_rights() -> None:
    filled = job("docker", gpus=2)
    create = filled["container_create_kwargs"]
    assert create["device_requests"] == [
        {"driver": "nvidia", "count": 2, "capabilities": [["gpu"]]}
    ]
    assert filled["volumes"] == ["enginesmith_artifacts:/artifacts"]
    assert "volumes" not in create
    assert create["cap_drop"] == ["ALL"]
    # The image's own entry point would take Prefect's command for one of enginesmith's.
    assert create["entrypoint"] == ["/usr/bin/env"]


def test_a_kubernetes_run_is_a_job_with_a_gpu_and_the_volume_claim() -> None:
    filled = job("kubernetes", name="build", command=["prefect", "flow-run", "execute"])
    manifest = filled["job_manifest"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    assert manifest["metadata"]["generateName"] == "build-"
    pod = manifest["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    container = pod["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"artifacts": "/artifacts", "tmp": "/tmp", "shm": "/dev/shm"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(volumes) == set(mounted)
    assert volumes["artifacts"]["persistentVolumeClaim"] == {"claimName": "enginesmith-artifacts"}
    assert container["envFrom"] == [{"secretRef": {"name": "enginesmith-api"}}]


def test_a_type_without_a_template_is_refused() -> None:
    with pytest.raises(InputError, match="process, docker, kubernetes"):
        template("ecs")
