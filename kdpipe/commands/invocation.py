"""A start of Snakemake: the config that it is for, what is made again, what is said when it begins and ends.

The workflow may be a module of another workflow. The other workflow then hands in the config, and keeps the
screen, Snakemake's locks and the last word.
"""

import atexit
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.settings.enums import Quietness

from kdpipe import catalog
from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.faults import tell_fault
from kdpipe.artifacts.ownership import adopt, check_folder
from kdpipe.commands.reruns import Reruns
from kdpipe.commands.rules import Rules
from kdpipe.commands.run import DEFAULT
from kdpipe.commands.screen import Screen, take_screen
from kdpipe.config.document import merge, read_config
from kdpipe.errors import EXIT_STATUS, ConfigError, KdpipeError
from kdpipe.plan.build import build_graph
from kdpipe.runner.lock import share
from kdpipe.runner.logs import check_log

# Lines on what has changed, at a start.
SHOWN = 10


class Invocation:
    """What the rules share of a start of Snakemake, which mistakes of the user end with exit status 2.

    Args:
        workflow: Snakemake's workflow.
        config: the config that Snakemake has read, or that another workflow hands in.

    Attributes:
        graph: the graph of the config.
        rules: what rules ask about its jobs.
    """

    def __init__(self, workflow: Any, config: Mapping[str, Any]) -> None:
        self._workflow = workflow
        self._is_module = not workflow.modifier.is_main_snakefile()
        # Another workflow may call the rules by other names.
        names = workflow.modifier.rule_whitelist or catalog.STAGES
        self._stages = {workflow.modifier.modify_rulename(name): name for name in names}
        with _exit_on_mistakes(Path()):
            whole, files = self._read(config)
            self.graph = build_graph(whole, files)
        self.rules = Rules(self.graph, whole, workflow.output_settings.dryrun)
        self._reruns: Reruns | None = None
        self._screen: Screen | None = None
        # Jobs of a cluster read the Snakefile once more.
        if workflow.is_main_process:
            self._look_around()

    def begin(self) -> None:
        """Look at the folders and logs of all jobs that will run, before Snakemake deletes what is there."""
        with _exit_on_mistakes(self.graph.layout.state):
            self.rules.write_config()
            for job in self._workflow.dag.needrun_jobs():
                if job.output and job.rule.name in self._stages:
                    _take_over(Path(job.output[0]).parent, Path(self.rules.state(job.wildcards)), job.log)
            if self._reruns:
                self._reruns.date_back()

    def end(self, logs: Collection[str]) -> None:
        """Show what there is when a run has ended.

        Args:
            logs: files with what Snakemake said.
        """
        self._forget_finished()
        quiet = self._workflow.output_settings.quiet or ()
        if not self._workflow.is_main_process or Quietness.ALL in quiet:
            return
        # The libraries of the results would slow down every start, and every job of a cluster.
        from kdpipe.reporting.text import format_results

        try:
            print(f"\n{format_results(self.graph)}".rstrip())
        except KdpipeError as error:
            print(error)
        words = self._screen.last_words(logs) if self._screen else []
        for line in filter(None, [self._tell_report(), *words]):
            print(line)

    def is_made_again(self, folder: Path) -> bool:
        """Tell whether an artifact is made again, as far as this process decides it."""
        return self._workflow.is_main_process and folder in self._again

    def force(self, sums: Path) -> None:
        """Tell Snakemake to make an artifact again that is there.

        Args:
            sums: its file of digests.
        """
        if self.is_made_again(sums.parent) and sums.exists():
            self._workflow.dag.forcefiles.add(str(sums))

    def _read(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Path]]:
        """Return the config, and the files that it was read from.

        A `configfile:` directive would merge config.yaml below every --configfile. Snakemake has read the
        files too, but overlooks keys that stand twice, and makes booleans of `no` and `on`.
        """
        settings = self._workflow.config_settings
        if not self._is_module:
            files = settings.configfiles or [Path(self._workflow.basedir, "config.yaml")]
            return merge(read_config(files), settings.config), files
        files = [] if config else [DEFAULT]
        whole = dict(config) or read_config(files)
        results = str(whole.get("results", "results"))
        # What its `prefix` does to all paths that the module declares.
        return whole | {"results": self._workflow.modifier.path_modifier.replace_prefix(results)}, files

    def _look_around(self) -> None:
        """Find out what is made again: manifests decide it, not times of files or Snakemake's records.

        So inputs of rules are `ancient`, and Snakemake is told of each job as with --forcerun.
        """
        # Snakemake's own locks stay behind when it is killed, and would keep the next one from starting.
        if not self._is_module and share(Path(".snakemake/kdpipe.lock")):
            for left in Path(".snakemake/locks").glob("*.lock"):
                left.unlink()
        with _exit_on_mistakes(self.graph.layout.results):
            self._reruns = Reruns(self.graph)
            self._reruns.check()
            self._reruns.forget_killed()
        # Another workflow that changes a rule of ours reads all of them once more.
        lines = [] if self._workflow.modifier.rule_whitelist else self._reruns.lines()
        more = [f"and {len(lines) - SHOWN} more; `kdpipe why MODEL` says why"] if len(lines) > SHOWN else []
        print(*lines[:SHOWN], *more, sep="\n", end="\n" if lines else "", file=sys.stderr)
        if self._is_module:
            self._begin_as_module(self._reruns)
        else:
            self._screen = take_screen(self._workflow, self._tell_report)

    def _begin_as_module(self, reruns: Reruns) -> None:
        """Do now what the handlers would do: Snakemake calls none of a module's."""
        if self._workflow.output_settings.dryrun:
            return
        with _exit_on_mistakes(self.graph.layout.state):
            for folder, state in reruns.states.items():
                _take_over(folder, state)
            reruns.date_back()
        atexit.register(self._forget_finished)

    @cached_property
    def _again(self) -> Reruns:
        """What is made again; what --forcerun names is known when Snakemake works out the jobs."""
        asked = {self._stages.get(name, name) for name in self._workflow.dag_settings.forcerun}
        return Reruns(self.graph, asked) if asked or self._reruns is None else self._reruns

    def _tell_report(self) -> str:
        """Return where the report is, and whether an earlier run wrote it; "" where there is none."""
        page = self.graph.layout.report / "report.html"
        if not page.exists():
            return ""
        made = any(job.rule.name == "report" for job in self._workflow.dag.finished_jobs)
        earlier = not made and self.is_made_again(self.graph.layout.report)
        return f"report{' of an earlier run' if earlier else ''}: {page}"

    def _forget_finished(self) -> None:
        """Remove the copies of what is finished and what Snakemake knows is."""
        dag = self._workflow.dag
        for job in dag.jobs if dag else ():
            if dag.finished(job) or not dag.needrun(job):
                for output in job.output[:1]:
                    copy = finished(Path(output).parent, self.graph.layout.state)
                    shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def _exit_on_mistakes(place: Path) -> Iterator[None]:
    """End with exit status 2 and no traceback where the user has something to mend.

    Args:
        place: where is written or read, if an error does not say.
    """
    try:
        yield
    except ConfigError as error:
        said = f"The config has mistakes:\n{error}"
    except KdpipeError as error:
        said = str(error)
    except OSError as error:
        said = tell_fault(error, place) or f"results: nothing can be written there ({error})"
    else:
        return
    print(said, file=sys.stderr)
    sys.exit(EXIT_STATUS)


def _take_over(folder: Path, state: Path, logs: Iterable[str] = ()) -> None:
    """Refuse a folder or a log with files of the user's, and note which files of an artifact are kdpipe's."""
    for log in logs:
        check_log(Path(log))
    check_folder(folder, state)
    adopt(folder, state)
