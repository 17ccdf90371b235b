"""What the rules of the workflow ask about a job: its inputs, its settings, its share of a machine.

The wildcards of a rule name the job, so that all rules share these functions.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from inspect import isfunction, signature
from pathlib import Path
from typing import Any

from snakemake.common import overwrite_function_params

from kdpipe import catalog
from kdpipe.artifacts.state import whole
from kdpipe.digest import digest
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import job_of
from kdpipe.plan.resources import memory_mb, minutes
from kdpipe.plan.stage import Job, Stage, definition

# The largest number of characters of settings, or of inputs, on a command line; Linux takes 131,072 bytes.
LONGEST_LINE = 20_000
Wildcards = Mapping[str, str]
# The wildcards of rules that make a model; each other stage has wildcards of its own.
MODEL = ("model",)
HELPERS = {definition(name).wildcards: name for name in catalog.STAGES if definition(name).wildcards != MODEL}


class Rules:
    """The jobs of a graph, by the wildcards of rules.

    Args:
        graph: the graph.
        config: the config of the graph, which the report reads.
        dry: whether this is a dry run, which writes nothing.
    """

    def __init__(self, graph: Graph, config: Mapping[str, Any], dry: bool) -> None:
        self.graph = graph
        self._snapshot = graph.layout.state / f"config-{digest(config)}.json"
        self._config = config
        self._dry = dry

    def job(self, wildcards: Wildcards) -> Job:
        """Return the job that wildcards name."""
        names, values = zip(*wildcards.items(), strict=True) if wildcards else ((), ())
        stage = self.graph.nodes[values[0]].stage if names == MODEL else HELPERS[names]
        return job_of(self.graph, stage, *values)

    def stage(self, wildcards: Wildcards) -> Stage[Any]:
        """Return the stage of a job."""
        return definition(self.job(wildcards).stage)

    def program(self, wildcards: Wildcards) -> str:
        """Return the module that runs a job."""
        return self.stage(wildcards).module

    def training(self, wildcards: Wildcards) -> str:
        """Return the module that runs a training, with a process for each GPU."""
        gpus = self.graph.document.gpus
        if gpus < 2:
            return self.program(wildcards)
        return f"kdpipe.runner.launch {gpus} {self.job(wildcards).stage}"

    def arguments(self, wildcards: Wildcards, input: Mapping[str, Any]) -> str:
        """Return the options of a job's command line that say what it does: its settings and its inputs."""
        return f"{self.settings(wildcards)} {self.inputs(wildcards, input)}"

    def settings(self, wildcards: Wildcards) -> str:
        """Return the settings of a job as options of its command line."""
        settings = self.job(wildcards).arguments()
        return self._spelled([word for option, text in settings.items() for word in (f"--{option}", text)])

    def whole_config(self, wildcards: Wildcards) -> str:
        """Return the option that names the file of the config."""
        # Snakemake asks before the start, which reports a folder that cannot be written.
        with suppress(OSError):
            self.write_config()
        return shlex.join(["--config", str(self._snapshot)])

    def inputs(self, wildcards: Wildcards, input: Mapping[str, Any]) -> str:
        """Return the options that name the artifacts that a job reads.

        Raises:
            LookupError: the inputs of the rule are not the inputs of the stage.
        """
        job = self.job(wildcards)
        paths = {option: [files] if isinstance(files, str) else [*files] for option, files in input.items()}
        rule = {option for option, files in paths.items() if files and option != "files"}
        if rule != (stage := {option for option, folders in job.inputs.items() if folders}):
            # A developer has changed the rule or the stage.
            faults = [f"its stage reads {name!r}, which the rule does not name" for name in stage - rule]
            faults += [f"it names {name!r}, which its stage does not read" for name in rule - stage]
            raise LookupError(
                f"rule {job.stage}: {'; '.join(sorted(faults))}. Let the rule's `input:` and `inputs` of "
                f'{catalog.STAGES[job.stage]} agree; `NAME=read("NAME")` names an input'
            )
        flags = {option: f"--{option.replace('_', '-')}" for option in sorted(rule)}
        return self._spelled([word for option, flag in flags.items() for word in (flag, *paths[option])])

    def caching(self, wildcards: Wildcards) -> str:
        """Return the options that say how large stored signals may be, and where results share them."""
        document = self.graph.document
        words = ["--limit-gb", str(document.cache_limit_gb)]
        if document.knowledge_dir:
            words += ["--knowledge-dir", str(document.knowledge_dir)]
        return shlex.join(words)

    def place(self, wildcards: Wildcards, output: Sequence[str]) -> str:
        """Return the options that say where a job works: its folders, root modules and threads."""
        words = ["--output", str(Path(output[0]).parent), "--state", self.state(wildcards)]
        words += ["--code", *self.job(wildcards).modules, "--threads", str(self.threads(wildcards))]
        return shlex.join(words)

    def state(self, wildcards: Wildcards) -> str:
        """Return the folder of state of a job."""
        return str(self.stage(wildcards).state(self.graph))

    def threads(self, wildcards: Wildcards) -> int:
        """Return the processor threads of a job, which are part of its result, whatever `--cores` grants."""
        return self.stage(wildcards).threads(self.graph)

    def memory(self, wildcards: Wildcards, attempt: int) -> int:
        """Return the memory that a job asks for in MB, more at each attempt."""
        return memory_mb(self.graph, self.job(wildcards), attempt)

    def runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Return the minutes that a job asks for, more at each attempt."""
        return minutes(self.graph, self.job(wildcards), attempt)

    def gpu(self, wildcards: Wildcards) -> int:
        """Return whether a job that takes one GPU at most takes one."""
        job = self.job(wildcards)
        return min(1, definition(job.stage).cost(self.graph, job).gpus)

    def group(self, wildcards: Wildcards) -> str | None:
        """Return the group of a job; a cluster runs a group as one job. None stands for no group."""
        return self.stage(wildcards).group(self.graph, *self.job(wildcards).names)

    def made_by(self, stage: str) -> str:
        """Return a pattern that matches the models of one stage, so that one rule makes each model."""
        return one_of(name for name, node in self.graph.nodes.items() if node.stage == stage)

    def write_config(self) -> None:
        """Write the config to a file for the report: a large config would not fit on a command line."""
        if not self._dry:
            with whole(self._snapshot) as part:
                part.write_text(json.dumps(self._config), encoding="utf-8")

    def _spelled(self, words: Sequence[str]) -> str:
        """Return words of a command line, or `@FILE` if a shell takes no such long line."""
        line = shlex.join(words)
        if len(line) <= LONGEST_LINE:
            return line
        place = self.graph.layout.state / "arguments" / digest(words)
        if not place.exists() and not self._dry:
            with whole(place) as part:
                part.write_text(json.dumps(words), encoding="utf-8")
        return shlex.quote(f"@{place}")


def signed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the parameters of a function with it: Snakemake asks for them at each of many calls."""
    overwrite_function_params(function, signature(function).parameters)
    return function


for _method in filter(isfunction, [*vars(Rules).values()]):
    signed(_method)


def one_of(names: Iterable[str]) -> str:
    """Return a pattern that matches these names and nothing else."""
    return "|".join(map(re.escape, names)) or "(?!)"
