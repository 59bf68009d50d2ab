"""``enginesmith schema``: what a job file may hold."""

import json

import typer


def schema() -> None:
    """Print the JSON schema of a job file.

    Example:

        enginesmith schema > job.schema.json

    Editors check and complete a job file with it: `enginesmith schema > job.schema.json`, and
    `# yaml-language-server: $schema=job.schema.json` as the job file's first line.
    """
    from schemas.job import Job

    typer.echo(json.dumps(Job.model_json_schema(), indent=2))
