"""What the rules of the workflow ask about a job: what it reads, what it is told, what it needs of a machine.

A rule's wildcards say which job is meant, so that all rules share these functions.
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kdpipe import catalog
from kdpipe.artifacts.whole import whole
from kdpipe.digest import digest
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import job_of
from kdpipe.plan.resources import memory_mb, minutes
from kdpipe.plan.stage import Job, Stage, definition

# Characters of settings, or of inputs, on a command line; Linux takes 131,072 bytes in all.
LONGEST_LINE = 20_000
Wildcards = Mapping[str, str]
# The wildcards of rules that make a model; each other stage has wildcards of its own.
MODEL = ("model",)
HELPERS = {definition(name).wildcards: name for name in catalog.STAGES if definition(name).wildcards != MODEL}


class Rules:
    """The jobs of a graph, as rules ask about them.

    Args:
        graph: the graph.
        config: the config that it was built from, which the report is told.
        dry: whether nothing may be written.
    """

    def __init__(self, graph: Graph, config: Mapping[str, Any], dry: bool) -> None:
        self.graph = graph
        self._snapshot = graph.layout.state / f"config-{digest(config)}.json"
        self._config = config
        self._dry = dry
        self._jobs: dict[tuple[str, ...], Job] = {}

    def job(self, wildcards: Wildcards) -> Job:
        """Return the job that a rule's wildcards stand for."""
        named = dict(wildcards.items())
        names, values = tuple(named), tuple(named.values())
        stage = self.graph.nodes[values[0]].stage if names == MODEL else HELPERS[names]
        if (stage, *values) not in self._jobs:
            self._jobs[stage, *values] = job_of(self.graph, stage, *values)
        return self._jobs[stage, *values]

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

    def settings(self, wildcards: Wildcards) -> str:
        """Return the settings of a job as options of its command line."""
        told = self.job(wildcards).told()
        return self._spelled([word for option, text in told.items() for word in (f"--{option}", text)])

    def whole_config(self, wildcards: Wildcards) -> str:
        """Return the option that names the file of the config."""
        # Snakemake asks before it starts, and where nothing can be written is told when it does.
        with suppress(OSError):
            self.write_config()
        return shlex.join(["--config", str(self._snapshot)])

    def inputs(self, wildcards: Wildcards, input: Mapping[str, Any]) -> str:
        """Return the options that name the artifacts that a job reads.

        Raises:
            LookupError: the rule names other inputs than the stage.
        """
        job = self.job(wildcards)
        named = {
            option: [paths] if isinstance(paths, str) else list(paths) for option, paths in input.items()
        }
        read = {option for option, paths in named.items() if paths and option != "files"}
        if read != (expected := {option for option, folders in job.inputs.items() if folders}):
            raise LookupError(f"rule {job.stage}: expected inputs {sorted(expected)}, found {sorted(read)}")
        return self._spelled([word for option in sorted(read) for word in (f"--{option}", *named[option])])

    def code(self, wildcards: Wildcards) -> str:
        """Return the modules that a job starts from."""
        return " ".join(self.job(wildcards).modules)

    def state(self, wildcards: Wildcards) -> str:
        """Return the folder of state of a job."""
        return str(self.stage(wildcards).state(self.graph))

    def threads(self, wildcards: Wildcards) -> int:
        """Return the processor threads of a job, whatever `--cores` grants: they are part of its result."""
        return 1 if self.stage(wildcards).one_thread else self.graph.document.threads

    def memory(self, wildcards: Wildcards, attempt: int) -> int:
        """Return the memory that a job asks for in MB, more at each attempt."""
        return memory_mb(self.graph, self.job(wildcards), attempt)

    def runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Return the minutes that a job asks for, more at each attempt."""
        return minutes(self.graph, self.job(wildcards), attempt)

    def group(self, wildcards: Wildcards) -> str | None:
        """Return the group of a job, whose jobs are one job of a cluster; None for a job of its own."""
        return self.stage(wildcards).group(self.graph, *self.job(wildcards).names)

    def made_by(self, stage: str) -> str:
        """Return a pattern that matches the models of one stage, so that each has one rule."""
        return one_of(name for name, node in self.graph.nodes.items() if node.stage == stage)

    def write_config(self) -> None:
        """Write the config to a file for the report: a large config would not fit on a command line."""
        if not self._dry:
            with whole(self._snapshot) as part:
                part.write_text(json.dumps(self._config), encoding="utf-8")

    def _spelled(self, words: Sequence[str]) -> str:
        """Return words of a command line, or the file that holds them where a shell takes fewer."""
        line = shlex.join(words)
        if len(line) <= LONGEST_LINE:
            return line
        place = self.graph.layout.state / "arguments" / digest(words)
        if not place.exists() and not self._dry:
            with whole(place) as part:
                part.write_text(json.dumps(words), encoding="utf-8")
        return shlex.quote(f"@{place}")


def one_of(names: Iterable[str]) -> str:
    """Return a pattern that matches some names and nothing else."""
    return "|".join(map(re.escape, names)) or "(?!)"
