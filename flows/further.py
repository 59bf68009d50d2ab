"""Plans beside INT8 and FP32: FP16, which INT8 has to beat on a GPU, and INT8 with FP16."""

from flows.candidate import Run
from schemas.base import Strict, Target
from schemas.export import ExportResult
from schemas.job import Job
from schemas.report import FurtherPlan
from tasks.engine.task import engine
from tasks.surgery.task import surgery


def further_plans(
    run: Run, job: Job, exported: ExportResult, target: Target, options: Strict
) -> tuple[FurtherPlan, ...]:
    """What the job asks for in ``engines.also_precisions``, as far as the engine has it."""
    made = []
    for precision in job.engines.also_precisions:
        on_cpu = target == "openvino" and precision != "float16"
        if on_cpu or precision == job.surgery.precision:
            continue
        if precision == "float16":
            plan = run(engine, exported.float32, target, precision, options)
            made.append(FurtherPlan(precision=precision, plan=plan))
            continue
        config = job.surgery.model_copy(update={"precision": precision})
        repaired = run(surgery, exported.quantized, exported.samples, target, config)
        plan = run(engine, repaired.graph, target, precision, options)
        made.append(FurtherPlan(precision=precision, plan=plan, surgery=repaired))
    return tuple(made)
