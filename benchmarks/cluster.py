"""The time that a SLURM cluster adds to the jobs of the default run: queue, two starts of Snakemake, imports.

    python benchmarks/cluster.py PROFILE [--json FILE]

PROFILE names account and partition. This machine runs the nodes of a test cluster, and no more jobs at a time
than it has cores. The added time of a job is the time from its submission to its end, minus the seconds
of its stages. A level of the chain has the jobs with equally long chains of jobs before them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.config.document import read_config
from kdpipe.plan.build import build_graph
from kdpipe.plan.jobs import jobs_for

ROOT = Path(__file__).parents[1]
TARGET = 20.0


class Submitted(NamedTuple):
    """A job of SLURM: the times of its submission and its end, and the folders that its stages made."""

    start: pd.Timestamp
    end: pd.Timestamp
    folders: list[Path]


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        jobs = run(Path(name), options.profile.resolve())
        added = [seconds(job) - sum(made_in(Path(name) / folder) for folder in job.folders) for job in jobs]
    levels = level_of([job.folders for job in jobs])
    table = pd.DataFrame({
        "level": levels,
        "start": [job.start for job in jobs],
        "end": [job.end for job in jobs],
        "added_s": added,
    })  # fmt: skip
    by_level = table.groupby("level").agg(
        jobs=("added_s", "size"), start=("start", "min"), end=("end", "max"), added_s=("added_s", "median")
    )
    by_level["wall_s"] = (by_level.pop("end") - by_level.pop("start")).dt.total_seconds()
    print(by_level.round(1).to_string())
    print(f"median of {len(jobs)} jobs: {median(added):.1f} s added, at most {TARGET:.0f}")
    if options.json:
        content = {"median_added_s": median(added), "levels": by_level.reset_index().to_dict("records")}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def run(folder: Path, profile: Path) -> list[Submitted]:
    """Run the default config on SLURM, and return its jobs."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--profile", profile]
    command += ["--workflow-profile", ROOT / "profiles/slurm", "--slurm-keep-successful-logs"]
    command += ["--jobs", os.cpu_count()]
    done = subprocess.run(list(map(str, command)), cwd=folder, check=True, text=True, stderr=subprocess.PIPE)
    [name] = re.findall(r"SLURM run ID: (\S+)", done.stderr)
    query = ["sacct", "--allocations", "--noheader", "--parsable2", "--name", name]
    # Without a start, sacct lists the jobs since midnight.
    query += ["--starttime", "now-1days", "--format", "JobIDRaw,Submit,End"]
    rows = subprocess.run(query, check=True, text=True, stdout=subprocess.PIPE).stdout.split()
    jobs = []
    for number, submitted, ended in (row.split("|") for row in rows):
        [log] = folder.glob(f".snakemake/slurm_logs/**/{number}.log")
        paths = re.findall(r"^ +output: .* (\S+)/SHA256SUMS$", log.read_text(encoding="utf-8"), re.MULTILINE)
        folders = [Path(path) for path in dict.fromkeys(paths)]
        jobs.append(Submitted(pd.Timestamp(submitted), pd.Timestamp(ended), folders))
    return jobs


def seconds(job: Submitted) -> float:
    """Return the seconds from the submission of a job to its end."""
    return (job.end - job.start).total_seconds()


def made_in(folder: Path) -> float:
    """Return the seconds in a stage's manifest."""
    return float(read_manifest(folder)["seconds"])


def level_of(jobs: list[list[Path]]) -> list[int]:
    """Return for each job of SLURM the length of the chain of jobs before it.

    Args:
        jobs: the folders that each makes.
    """
    graph = build_graph(read_config([ROOT / "config.yaml"]))
    maker = {folder: index for index, folders in enumerate(jobs) for folder in folders}
    levels = [0] * len(jobs)
    for job in jobs_for(graph, graph.nodes):
        number = maker.get(job.folder)
        if number is not None:
            sources = [maker.get(folder, number) for folders in job.inputs.values() for folder in folders]
            deeper = [levels[source] + 1 for source in sources if source != number]
            levels[number] = max([levels[number], *deeper])
    # The report waits for all these jobs, and the cards wait for the report.
    deepest = max(levels)
    levels[maker[graph.layout.report]], levels[maker[graph.layout.cards]] = deepest + 1, deepest + 2
    return levels


if __name__ == "__main__":
    main()
