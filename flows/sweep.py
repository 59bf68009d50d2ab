"""Calibrations side by side: which observer, how many images, and how much of it is luck."""

import itertools
import logging
from typing import get_args

from prefect import flow

from flows.build import Runner, weights_of
from flows.candidate import engine_of, first_that_runs, quantize
from schemas.convert import Observer
from schemas.job import Job
from schemas.model import ModelRef
from schemas.sweep import SweepCandidate, SweepResult
from tasks.datasets.task import dataset
from tasks.evaluate.task import predict_float32, rank
from tasks.models.task import network
from tasks.progress import track
from tasks.upkeep.leases import builds

log = logging.getLogger("enginesmith")


@flow(name="sweep", flow_run_name="sweep-{job.name}")
@builds
def sweep(
    job: Job,
    observers: tuple[Observer, ...] = get_args(Observer),
    images: tuple[int, ...] = (),
    seeds: tuple[int, ...] = (),
) -> SweepResult:
    """Every observer with every number of images and every seed, ranked by engine accuracy.

    Left out, images and seeds are the job's. Each candidate is the stages of ``build``, cached
    alike, so that an interrupted sweep goes on where it was and adding one computes only that one.
    """
    run = Runner(())
    data = run(dataset, job.data)
    net = run(network, job.model)
    model = ModelRef(**dict(net), weights=weights_of(run, job, net, data))
    float32 = run(predict_float32, model, data, job.accuracy.images, job.accuracy.batch_size)
    target, options = first_that_runs(job)
    combinations = list(
        itertools.product(
            observers, images or (job.calibration.images,), seeds or (job.calibration.seed,)
        )
    )
    candidates = []
    numbered = enumerate(combinations, start=1)
    for number, (observer, count, seed) in track(numbered, "sweep", len(combinations)):
        log.info(
            "%d of %d: %s, %d images, seed %d", number, len(combinations), observer, count, seed
        )
        document = job.model_dump()
        document["quantization"] |= {"observer": observer}
        document["calibration"] |= {"images": count, "seed": seed, "until": "images"}
        variant = Job.model_validate(document)
        exported = quantize(run, variant, data, model).exported
        answers = engine_of(run, variant, data, exported, target, options).answers
        candidates.append(
            SweepCandidate(observer=observer, images=count, seed=seed, answers=answers)
        )
    return run(rank, float32, candidates)
