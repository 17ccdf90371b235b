# What the rules share: the graph of the config, and the paths, inputs and settings that follow from it.
import json
import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

from snakemake.settings.enums import Quietness

from kdpipe.artifacts.artifact import finished
from kdpipe.commands.dates import is_ahead
from kdpipe.artifacts.faults import tell_fault
from kdpipe.runner.lock import share
from kdpipe.runner.logs import check_log
from kdpipe.artifacts.ownership import adopt, check_folder
from kdpipe.commands.reruns import Reruns
from kdpipe.artifacts.whole import whole
from kdpipe.plan.build import build_graph
from kdpipe.digest import digest
from kdpipe.config.document import merge, read_config
from kdpipe.plan.hub import hub_folder
from kdpipe.plan.jobs import job_of
from kdpipe.plan.resources import memory_mb, minutes
from kdpipe.plan.stage import definition
from kdpipe.errors import EXIT_STATUS, ConfigError, KdpipeError
from kdpipe.commands.screen import take_screen

# Characters of settings, or of inputs, on a command line; Linux takes 131,072 bytes in all.
LONGEST_LINE = 20_000
# Lines on what has changed, at a start.
SHOWN = 10

try:
    # A `configfile:` directive would merge config.yaml below every --configfile. Snakemake has read the files
    # too, but overlooks keys that stand twice, and makes booleans of `no` and `on`.
    given = workflow.overwrite_configfiles or [Path(workflow.basedir, "config.yaml")]
    config = merge(read_config(given), workflow.config_settings.config)
    GRAPH = build_graph(config, given)
except ConfigError as error:
    print(f"The config has mistakes:\n{error}", file=sys.stderr)
    sys.exit(EXIT_STATUS)

# Snakemake's own locks stay behind when it is killed, and would keep the next one from starting.
if workflow.is_main_process and share(Path(".snakemake/kdpipe.lock")):
    for left in Path(".snakemake/locks").glob("*.lock"):
        left.unlink()

# What the manifests say decides what is made again, not the times of files or what Snakemake has on record: inputs
# of rules are `ancient`, and Snakemake is told of each job as with --forcerun.
RERUNS = None
if workflow.is_main_process:
    try:
        RERUNS = Reruns(GRAPH)
        RERUNS.check()
    except (KdpipeError, OSError) as error:
        told = isinstance(error, OSError) and tell_fault(error, GRAPH.layout.results)
        print(told or error, file=sys.stderr)
        sys.exit(EXIT_STATUS)
    lines = RERUNS.lines()
    more = (
        [f"and {len(lines) - SHOWN} more; `kdpipe why MODEL` says why"]
        if len(lines) > SHOWN
        else []
    )
    print(*lines[:SHOWN], *more, sep="\n", end="\n" if lines else "", file=sys.stderr)

LAYOUT = GRAPH.layout
SCREEN = take_screen(workflow, lambda: told_report()) if workflow.is_main_process else None
HUB = hub_folder(GRAPH.document.data_dir)
SNAPSHOT = LAYOUT.state / f"config-{digest(config)}.json"
THREADS = GRAPH.document.threads
LOGS = f"{LAYOUT.results}/logs"
MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
GPUS = GRAPH.document.gpus
ARGUMENTS = (
    " {params.settings} {params.inputs} --output {params.output:q} "
    "--state {LAYOUT.state:q} --log {log:q} --code {params.code} --threads {params.threads} "
    "--checkpoint-minutes {GRAPH.document.checkpoint_minutes}"
    # Of what runs here nobody ends the time.
    + (" --minutes {resources.runtime}" if workflow.remote_exec else "")
)
# A signal to the shell is one to the stage, which it becomes.
RUN = "exec python -m kdpipe.stages.{rule}" + ARGUMENTS
# Only what trains can use more than one GPU, in a process for each.
TRAIN = "exec python -m kdpipe.runner.launch {GPUS} {rule}" + ARGUMENTS if GPUS > 1 else RUN

# Only `load` and `fetch` may use the network.
ONLINE = "unset HF_HUB_OFFLINE; "

# The interpreter of the environment that runs Snakemake, activated or not. Threads that spin while they wait
# slow jobs that share a machine down several times.
BIN = shlex.quote(str(Path(sys.executable).parent))
shell.prefix(f"export PATH={BIN}:$PATH OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1; ")


onstart:
    # The report reads the config from a file: a large one would not fit on a command line.
    try:
        SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
        SNAPSHOT.write_text(json.dumps(config))
        check_outputs()
        if RERUNS:
            RERUNS.date_back()
    except (KdpipeError, OSError) as error:
        told = isinstance(error, OSError) and (
            tell_fault(error, SNAPSHOT) or f"results: nothing can be written there ({error})"
        )
        print(told or error, file=sys.stderr)
        sys.exit(EXIT_STATUS)


onsuccess:
    forget_finished()
    conclude(log)


onerror:
    forget_finished()
    conclude(log)


wildcard_constraints:
    model="[^/]+",
    dataset="[^/]+",
    tokenizer="[^/]+",
    teacher="[^/]+",
    scored="[^/]+",
    key="[^/]+",


def forget_finished():
    """Remove the copies of what is finished and what Snakemake knows is."""
    for known in workflow.dag.jobs:
        if workflow.dag.finished(known) or not workflow.dag.needrun(known):
            for output in known.output[:1]:
                shutil.rmtree(finished(Path(output).parent, LAYOUT.state), ignore_errors=True)


def conclude(logs):
    """Show what there is when a run has ended."""
    if not workflow.is_main_process or Quietness.ALL in (workflow.output_settings.quiet or ()):
        return
    # The libraries of the results would slow down every start, and every job of a cluster.
    from kdpipe.reporting.text import format_results

    try:
        print(f"\n{format_results(GRAPH)}".rstrip())
    except KdpipeError as error:
        print(error)
    for line in filter(None, [told_report(), *(SCREEN.last_words(logs) if SCREEN else [])]):
        print(line)


def told_report():
    """Where the report is, and whether an earlier run wrote it; "" where there is none."""
    page = LAYOUT.report / "report.html"
    if not page.exists():
        return ""
    made = any(finished.rule.name == "report" for finished in workflow.dag.finished_jobs)
    return f"{'report' if made or LAYOUT.report not in again() else 'report of an earlier run'}: {page}"


@cache
def again():
    """What is made again; what --forcerun names is known when Snakemake works out the jobs."""
    asked = workflow.dag_settings.forcerun
    return Reruns(GRAPH, asked) if asked else RERUNS


def check_outputs():
    """Look at the folders and logs of all jobs that will run, whatever the reason, before Snakemake deletes them."""
    for made in workflow.dag.needrun_jobs():
        for log in made.log:
            check_log(Path(log))
        if made.output:
            output = Path(made.output[0]).parent
            state = HUB / ".state" if made.rule.name == "fetch" else LAYOUT.state
            check_folder(output, state)
            adopt(output, state)


def tell_if_again(folder):
    """Tell Snakemake to make an artifact again that is there."""
    if workflow.is_main_process and folder in again() and Path(done(folder)).exists():
        workflow.dag.forcefiles.add(done(folder))


def done(folder):
    """The file that says an artifact is whole; the only one that other jobs depend on."""
    return str(folder / "SHA256SUMS")


def read_from(path):
    """A file that a job reads, whose time does not count; what is made again reruns what reads it."""
    return path if workflow.is_main_process and Path(path).parent in again() else ancient(path)


def files(folder, *names):
    """The files of an artifact that a rule declares."""
    return [f"{folder}/{name}" for name in [*names, "manifest.json", "SHA256SUMS"]]


def folder(wildcards, output):
    """The folder that a job writes."""
    return str(Path(output[0]).parent)


def one_of(names):
    """A pattern that matches some names and nothing else."""
    return "|".join(map(re.escape, names)) or "(?!)"


def made_by(stage):
    """A pattern that matches the models of one stage, so that each has one rule."""
    return one_of(name for name, node in GRAPH.nodes.items() if node.stage == stage)


@cache
def job(stage, *names):
    """The job of a rule, whose wildcards stand in the order of the parameters that describe it."""
    return job_of(GRAPH, stage, *names)


def inputs(stage):
    """An input function: what a job reads, by option of its stage."""

    def of(wildcards):
        made = job(stage, *wildcards)
        tell_if_again(made.folder)
        read = {
            option: [read_from(done(folder)) for folder in folders]
            for option, folders in made.inputs.items()
        }
        return {
            **read,
            "files": [read_from(str(file)) for file in made.files if not is_ahead(file)],
        }

    return of


def settings(stage):
    """A function that gives the settings of a job as options of its command line."""

    def of(wildcards):
        told = job(stage, *wildcards).told()
        return spelled([word for option, text in told.items() for word in (f"--{option}", text)])

    return of


def code(stage):
    """A function that gives the modules that a job starts from."""
    return lambda wildcards: " ".join(job(stage, *wildcards).modules)


def memory(stage):
    """A function that gives the memory a job asks for in MB, more at each attempt."""
    return lambda wildcards, attempt: memory_mb(GRAPH, job(stage, *wildcards), attempt)


def runtime(stage):
    """A function that gives the minutes a job asks for, more at each attempt."""
    return lambda wildcards, attempt: minutes(GRAPH, job(stage, *wildcards), attempt)


def group(wildcards):
    """The group of a job whose wildcards name a model, and maybe a dataset that it is scored on."""
    stage = "evaluate" if "dataset" in wildcards.keys() else GRAPH.nodes[wildcards.model].stage
    return definition(stage).group(GRAPH, *wildcards)


def arguments(wildcards, input):
    """The options that name the artifacts that a stage reads."""
    named = {option: paths for option, paths in input.items() if option != "files" and paths}
    return spelled(
        [
            word
            for option, paths in named.items()
            for word in (f"--{option}", *([paths] if isinstance(paths, str) else paths))
        ]
    )


def spelled(words):
    """Words of a command line, or the file that they stand in where they are more than a shell takes."""
    line = shlex.join(words)
    if len(line) <= LONGEST_LINE:
        return line
    place = LAYOUT.state / "arguments" / digest(words)
    if not place.exists() and not workflow.output_settings.dryrun:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole(place) as part:
            part.write_text(json.dumps(words), encoding="utf-8")
    return shlex.quote(f"@{place}")
