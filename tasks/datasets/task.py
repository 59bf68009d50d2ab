"""The dataset as Prefect looks it up: in every run, since only reading it tells what it holds."""

from prefect import task

from schemas.data import DataConfig, DataRef


@task(name="dataset", task_run_name="dataset")
def dataset(config: DataConfig) -> DataRef:
    """Find the job's dataset and take the digest of what it holds."""
    from tasks.datasets.open import describe

    return describe(config)
