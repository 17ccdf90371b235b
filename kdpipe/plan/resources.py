"""What a job may need on a cluster: memory and time, estimated from its settings before anything is read.

Estimates are generous, not tight. A job that needs more is given more when it is tried again, up to what a
cluster starts: a training goes on from its checkpoint, so that it need not be given the time of all of it.
"""

from kdpipe.plan.graph import Graph
from kdpipe.plan.stage import Job, definition

# In MB (10^6 bytes): the two Snakemakes of a job on a cluster, and a stage with its libraries and data.
SNAKEMAKE_MB, STAGE_MB = 300, 1200
# Minutes of every job, at the least.
MINUTES = 15
MOST_MEMORY = 3
# Floating-point operations a second of a thread and of a GPU, well below what usual hardware does.
THREAD_SPEED, GPU_SPEED = 3e10, 5e12
# Tokens a second that are encoded or counted.
ENCODED = 5e4


def memory_mb(graph: Graph, job: Job, attempt: int = 1) -> int:
    """Return the memory that a job asks for, in MB; more at each attempt, up to three times as much."""
    cost = definition(job.stage).cost(graph, job)
    needed = SNAKEMAKE_MB + cost.processes * STAGE_MB + round(cost.memory / 1e6)
    return min(attempt, MOST_MEMORY) * needed


def minutes(graph: Graph, job: Job, attempt: int = 1) -> int:
    """Return the time that a job asks for, in minutes; more at each attempt, as far as it may."""
    stage = definition(job.stage)
    cost = stage.cost(graph, job)
    speed = cost.gpus * GPU_SPEED or stage.threads(graph) * THREAD_SPEED
    seconds = cost.tokens / ENCODED + cost.operations / speed
    return min(attempt * (MINUTES + round(seconds / 60)), stage.longest)
