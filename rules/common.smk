# What the rules share. It needs the config that Snakemake has read. It gives the graph of models (GRAPH), the jobs of
# rules (RULES), the places of artifacts (LAYOUT), and functions for inputs and outputs.
import shlex
import sys
from pathlib import Path

from kdpipe.commands.invocation import Invocation
from kdpipe.commands.reruns import is_ahead
from kdpipe.commands.rules import one_of, signed
from kdpipe.plan.sources import hub_folder

INVOCATION = Invocation(workflow, config)
GRAPH, RULES = INVOCATION.graph, INVOCATION.rules
LAYOUT = GRAPH.layout
HUB = hub_folder(GRAPH.document.data_dir)
GPUS = GRAPH.document.gpus
# The option with the time limit of a job; only a cluster has one. A shell line asks for the resources of the jobs
# that run; a parameter would ask for the resources of all jobs.
LIMITS = " --minutes {resources.runtime}" if workflow.remote_exec else ""
MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def done(folder):
    """The list of digests, which marks a whole artifact; other jobs depend on no other file of it."""
    return local(f"{folder}/SHA256SUMS")


def files(folder, *names):
    """The files of an artifact that a rule declares."""
    return [local(f"{folder}/{name}") for name in [*names, "manifest.json", "SHA256SUMS"]]


def model_files(*names):
    """The files of a model that a rule declares."""
    return files(LAYOUT.model("{model}"), *MODEL_FILES, *names)


def every_result():
    """The models, their scores and measurements, report and cards: Snakemake lists a node whose job has failed only if a target names it."""
    targets = [LAYOUT.model(name) for name in GRAPH.nodes]
    targets += [LAYOUT.evaluation(*pair) for pair in GRAPH.evaluations]
    targets += [LAYOUT.export(*pair) for pair in GRAPH.exports]
    targets += [LAYOUT.evaluation(*pair) for pair in GRAPH.exported_evaluations]
    targets += [LAYOUT.submission(*pair) for pair in GRAPH.submissions]
    targets += [LAYOUT.measurement(name) for name in GRAPH.measurements]
    return [done(folder) for folder in [*targets, LAYOUT.report, LAYOUT.cards]]


def all_cores(wildcards):
    """The cores that all jobs share, so that a job runs alone. On a cluster each job has cores of its own."""
    cores = workflow.resource_settings.cores
    return cores if workflow.local_exec and cores else RULES.threads(wildcards)


def log_of(stage, wildcards):
    """The log of a job, below the results."""
    return local(f"{LAYOUT.results}/logs/{stage}/{wildcards}.log")


def job_of(wildcards):
    """The job of a rule; Snakemake learns here that a job runs again, whatever the times of files."""
    job = RULES.job(wildcards)
    INVOCATION.force(job.folder / "SHA256SUMS")
    return job


def read_from(path):
    """A file that a job reads: its time does not count, but a file that is made again reruns its readers."""
    if not workflow.is_main_process or INVOCATION.is_made_again(Path(path).parent):
        return local(path)
    return ancient(local(path))


def read(option):
    """An input function: the artifacts that a stage reads by an option of its command line."""
    return signed(
        lambda wildcards: [
            read_from(f"{folder}/SHA256SUMS") for folder in job_of(wildcards).inputs.get(option, [])
        ]
    )


@signed
def read_files(wildcards):
    """The files that a job reads besides artifacts, such as the files of a dataset."""
    return [read_from(str(file)) for file in job_of(wildcards).files if not is_ahead(file)]


@signed
def environment(wildcards):
    """The conda environment of a job: the environment of Snakemake, which has the same packages."""
    wanted = "conda" in {str(method) for method in workflow.deployment_settings.deployment_method}
    return sys.prefix if wanted and Path(sys.prefix, "conda-meta").is_dir() else None


onstart:
    INVOCATION.begin()


onsuccess:
    INVOCATION.end(log)


onerror:
    INVOCATION.end(log)


wildcard_constraints:
    model="[^/]+",
    dataset="[^/]+",
    augmented="[^/]+",
    tokenizer="[^/]+",
    counted="[^/]+",
    exported="[^/]+",
    format="[^/]+",
    submitted="[^/]+",
    measured="[^/]+",
    teacher="[^/]+",
    scored="[^/]+",
    key="[^/]+",
    cards="cards",
