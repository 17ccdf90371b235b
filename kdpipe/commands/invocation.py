"""A start of Snakemake: its config, the artifacts that it makes again, its messages at the start and the end.

The workflow may be a module of another workflow. The other workflow then passes the config, and owns the
screen, Snakemake's locks and the messages at the end.
"""

import atexit
import os
import shlex
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
from kdpipe.commands.screen import Screen, take_screen
from kdpipe.config.document import merge, read_config
from kdpipe.errors import EXIT_STATUS, ConfigError, KdpipeError
from kdpipe.places import CONFIG, default_config, default_note
from kdpipe.plan.build import build_graph
from kdpipe.plan.stages.report import COMMAND
from kdpipe.runner.lock import share
from kdpipe.runner.logs import check_log

# Only the main Snakefile has a default run: another workflow would get models that it never asked for.
NO_CONFIG = (
    "the module of kdpipe: expected a config with `models`, found an empty config; give it to the module as "
    '`config: config`, below `configfile: "config.yaml"`, or as a part such as `config: config["kdpipe"]`'
)
# The largest number of lines about changed artifacts at a start, and the least bytes that are worth a word.
SHOWN, LEAST_BACK = 10, 5_000_000


class Invocation:
    """A start of Snakemake, which the rules share; a mistake of the user ends it with exit status 2.

    Args:
        workflow: Snakemake's workflow.
        config: the config from Snakemake, or from another workflow.

    Attributes:
        graph: the graph of the config.
        rules: the jobs of the graph for rules.
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
        self._files = files
        self.rules = Rules(self.graph, whole, workflow.output_settings.dryrun)
        self._reruns: Reruns | None = None
        self._screen: Screen | None = None
        # Each job of a cluster reads the Snakefile again.
        if workflow.is_main_process:
            os.environ.setdefault(COMMAND, shlex.join(["snakemake", *sys.argv[1:]]))
            self._look_around()

    def begin(self) -> None:
        """Check the folders and logs of all jobs that will run, before Snakemake deletes files there."""
        with _exit_on_mistakes(self.graph.layout.state):
            self.rules.write_config()
            for job in self._workflow.dag.needrun_jobs():
                if job.output and job.rule.name in self._stages:
                    _take_over(Path(job.output[0]).parent, Path(self.rules.state(job.wildcards)), job.log)
            if self._reruns:
                self._reruns.date_back()

    def end(self, logs: Collection[str]) -> None:
        """Show the results at the end of a run.

        Args:
            logs: the logs of Snakemake.
        """
        self._forget_finished()
        quiet = self._workflow.output_settings.quiet or ()
        if not self._workflow.is_main_process or Quietness.ALL in quiet:
            return
        words = self._screen.last_words(logs) if self._screen else []
        # The imports of this module would slow down every start, and every job of a cluster.
        from kdpipe.reporting.tables import format_results

        try:
            print(f"\n{format_results(self.graph)}".rstrip())
        except KdpipeError as error:
            print(error)
        for line in filter(None, [self._tell_report(), self._tell_disk(), *words]):
            print(line)

    def is_made_again(self, folder: Path) -> bool:
        """Tell whether an artifact is made again; only the main process decides it."""
        return self._workflow.is_main_process and folder in self._again

    def force(self, sums: Path) -> None:
        """Tell Snakemake to make an artifact again, if it is there and has changed.

        Args:
            sums: the list of digests of the artifact.
        """
        if self.is_made_again(sums.parent) and sums.exists():
            self._workflow.dag.forcefiles.add(str(sums))

    def _read(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Path]]:
        """Return the config and its files.

        A `configfile:` directive would merge config.yaml below every --configfile. Snakemake reads the files
        too, but it overlooks repeated keys, and turns `no` and `on` into booleans.
        """
        settings = self._workflow.config_settings
        if not self._is_module:
            files = settings.configfiles or [default_config()]
            if not settings.configfiles and self._workflow.is_main_process and (note := default_note()):
                print(note, file=sys.stderr)
            return merge(read_config(files), settings.config), files
        if not config:
            raise KdpipeError(NO_CONFIG)
        results = str(config.get("results", "results"))
        # The `prefix` of a module stands before all of its paths.
        prefixed = {"results": self._workflow.modifier.path_modifier.replace_prefix(results)}
        return {**config, **prefixed}, []

    def _look_around(self) -> None:
        """Find the artifacts that are made again by their manifests, not by times or Snakemake's records.

        Therefore the inputs of rules are `ancient`, and `force` names each job as --forcerun would.
        """
        # A killed Snakemake leaves its locks behind, which would stop the next start.
        if not self._is_module and share(Path(".snakemake/kdpipe.lock")):
            for left in Path(".snakemake/locks").glob("*.lock"):
                left.unlink()
        with _exit_on_mistakes(self.graph.layout.results):
            self._reruns = Reruns(self.graph)
            self._reruns.check()
            self._reruns.forget_killed()
        # Another workflow reads all rules again when it changes one of them.
        lines = [] if self._workflow.modifier.rule_whitelist else self._reruns.lines()
        more = [f"and {len(lines) - SHOWN} more; `kdpipe why MODEL` says why"] if len(lines) > SHOWN else []
        print(*lines[:SHOWN], *more, sep="\n", end="\n" if lines else "", file=sys.stderr)
        if self._is_module:
            self._begin_as_module(self._reruns)
        else:
            self._screen = take_screen(self._workflow, self._tell_report, self.graph.layout.state)

    def _begin_as_module(self, reruns: Reruns) -> None:
        """Do the work of the handlers now: Snakemake does not call the handlers of a module."""
        if self._workflow.output_settings.dryrun:
            return
        with _exit_on_mistakes(self.graph.layout.state):
            for folder, state in reruns.states.items():
                _take_over(folder, state)
            reruns.date_back()
        atexit.register(self._forget_finished)

    @cached_property
    def _again(self) -> Reruns:
        """The artifacts that are made again; --forcerun is known once Snakemake plans the jobs."""
        asked = {self._stages.get(name, name) for name in self._workflow.dag_settings.forcerun}
        return Reruns(self.graph, asked) if asked or self._reruns is None else self._reruns

    def _tell_report(self) -> str:
        """Return a line with the place and the age of the report; "" without a report."""
        page = self.graph.layout.report / "report.html"
        if not page.exists():
            return ""
        is_new = any(job.rule.name == "report" for job in self._workflow.dag.finished_jobs)
        earlier = not is_new and self.is_made_again(self.graph.layout.report)
        return f"report{' of an earlier run' if earlier else ''}: {page}"

    def _tell_disk(self) -> str:
        """Return a line with the room that the results take, and what of it may be given back."""
        from kdpipe.commands.clean import find_leftovers, folder_size

        try:
            leftovers, _ = find_leftovers(self.graph)
            room = folder_size(self.graph.layout.results)
        except (KdpipeError, OSError):
            # Another process removes files meanwhile.
            return ""
        back = sum(leftover.size for leftover in leftovers)
        # Snakemake gives whole paths.
        here = Path.cwd()
        files = [file.relative_to(here) if file.is_relative_to(here) else file for file in self._files]
        command = shlex.join(["kdpipe", "clean", *(str(file) for file in files if file != CONFIG)])
        more = f"; `{command}` would give back {back / 1e9:.2f} GB" if back >= LEAST_BACK else ""
        return f"disk: {room / 1e9:.2f} GB in {self.graph.layout.results}{more}"

    def _forget_finished(self) -> None:
        """Remove the copies of artifacts whose jobs have ended, as Snakemake has seen."""
        dag = self._workflow.dag
        for job in dag.jobs if dag else ():
            if dag.finished(job) or not dag.needrun(job):
                for output in job.output[:1]:
                    copy = finished(Path(output).parent, self.graph.layout.state)
                    shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def _exit_on_mistakes(place: Path) -> Iterator[None]:
    """End with exit status 2 and no traceback after a mistake of the user.

    Args:
        place: the place of a fault whose error names none.
    """
    try:
        yield
    except ConfigError as error:
        message = f"The config has mistakes:\n{error}"
    except KdpipeError as error:
        message = str(error)
    except OSError as error:
        message = tell_fault(error, place) or f"results: nothing can be written there ({error})"
    else:
        return
    print(message, file=sys.stderr)
    sys.exit(EXIT_STATUS)


def _take_over(folder: Path, state: Path, logs: Iterable[str] = ()) -> None:
    """Refuse a folder or a log with files of the user, and list the files that kdpipe wrote."""
    for log in logs:
        check_log(Path(log))
    check_folder(folder, state)
    adopt(folder, state)
