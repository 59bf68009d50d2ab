"""The network as Prefect looks it up: in every run, since only reading it tells its digest."""

from pathlib import Path

from prefect import task

from schemas.artifact import ArtifactRef
from schemas.model import ModelConfig, NetworkRef
from tasks.caching import stage


@task(name="checkpoint", task_run_name="checkpoint")
def checkpoint(weights: Path) -> ArtifactRef:
    """Take a checkpoint file into the store; one that is new there is read through first.

    Raises InputError where it is missing, a pickle, damaged, or not finite.
    """
    from tasks.artifacts.store import current_store

    store = current_store()
    if not weights.is_file() or not store.holds(weights):
        # Imports torch, which a run that finds everything in the cache does without.
        from tasks.models.weights import read_weights

        read_weights(weights)
    return store.put_file("checkpoint", weights)


@task(name="network", task_run_name="network")
def network(config: ModelConfig) -> NetworkRef:
    """The network by the digest of its source; nothing of it is imported."""
    from tasks.models.source import source_digest

    return NetworkRef(
        factory=config.factory,
        kwargs=config.kwargs,
        source_sha256=source_digest(config.factory),
    )


@stage("models", rooms=("artifacts",), versions=("torch", "torchvision"))
def pretrained(net: NetworkRef) -> ArtifactRef:
    """The weights that the factory gave its network, as a checkpoint.

    Raises InputError where they are not finite.
    """
    from tasks.artifacts.store import current_store
    from tasks.models.build import build_model
    from tasks.models.weights import read_weights, save_weights

    store = current_store()
    with store.workspace() as folder:
        file = folder / "pretrained.safetensors"
        save_weights(build_model(net.factory, net.kwargs), file)
        read_weights(file)
        return store.put_file("checkpoint", file)
