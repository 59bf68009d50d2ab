"""What can be found wrong with a job before anything is started."""

from flows.jobfile import targets
from schemas.errors import InputError
from schemas.job import Job
from tasks.datasets.container import check_container
from tasks.models.source import source_digest
from tasks.runtimes.registry import runtime


def check(job: Job) -> None:
    """Look for what the job names: engines, network, checkpoint, images. Imports no framework.

    Raises InputError where an engine is not installed, or one of the others is not there.
    """
    engines = targets(job)
    if not engines:
        raise InputError(
            f"job {job.name} asks for no engine: name one in engines, such as 'openvino: {{}}'"
        )
    for target, _ in engines:
        try:
            runtime(target).fingerprint()
        except InputError as error:
            raise InputError(f"engines.{target}: {error}; or leave it out of the job") from error
    if job.publish is not None:
        from tasks.publish.package import check_engines

        check_engines(job.publish, [target for target, _ in engines])
    check_network(job)


def check_network(job: Job) -> None:
    """Look for what training alone needs: network, checkpoint, images. Imports no framework.

    Raises InputError where one of them is not there.
    """
    source_digest(job.model.factory)
    weights = job.model.weights
    if weights is not None and not weights.is_file():
        raise InputError(
            f"model.weights: there is no checkpoint {weights}: correct the path, or leave it out "
            "to train one"
        )
    if weights is None and job.train is None and not job.model.pretrained:
        raise InputError(
            f"job {job.name} has neither model.weights nor a train section: give a safetensors "
            "file, add 'train: {}' to make one, or set 'model.pretrained: true' where the factory "
            "gives the network its weights"
        )
    if job.data.factory is not None:
        source_digest(job.data.factory.factory)
    if job.data.image_folder is not None:
        check_container(job.data.image_folder.path)
