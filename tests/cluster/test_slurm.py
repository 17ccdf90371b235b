"""Whatever a cluster does to a job, the job ends with the same bytes as an undisturbed job.

All in one file, so that one process runs them all: each may harm the jobs of another.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kdpipe.artifacts.artifact import read_manifest
from tests.cluster.conftest import TEACHER, Run, control, slurm, train, train_for, wait_until
from tests.workflow.conftest import ROOT, write_config

pytestmark = pytest.mark.slow


def test_a_preempted_job_stops_at_a_checkpoint_and_goes_on(run: Run, undisturbed: str) -> None:
    run.site["slurm_partition"] = "scavenge"
    run.start()
    run.checkpoint()
    _, node = run.job()
    slurm("sbatch", "-p", "cpu", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 5")
    assert run.end() == 0, run.output()
    assert "stopped by SIGTERM after step" in run.output()
    assert "going on from" in run.log()
    assert run.sums() == undisturbed


def test_a_job_whose_node_dies_goes_on_at_another(run: Run, undisturbed: str) -> None:
    run.start()
    job, node = lose_node(run)
    # SLURM waits for two minutes before it starts a job again.
    slurm("scontrol", "update", f"jobid={job}", "starttime=now")
    assert run.end() == 0, run.output()
    assert slurm("sacct", "-n", "-X", "-D", "-j", job, "-o", "NodeList").split()[-1] != node
    assert "going on from" in run.log()
    assert run.sums() == undisturbed


def lose_node(run: Run) -> tuple[str, str]:
    """Kill the node of the job that runs, until SLURM starts the job again, and return both.

    A step may tell of the end of its processes before it is killed itself. SLURM then takes the job for a job
    that failed, and Snakemake starts another.
    """
    while True:
        run.checkpoint()
        job, node = run.job()
        control("kill-node", node)
        state = wait_until(partial(left, job))
        if state == "PENDING":
            return job, node


def left(job: str) -> str:
    """Return the state of a job; "" while it runs."""
    state = slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")
    return "" if state in ("RUNNING", "COMPLETING") else state


def test_jobs_outlive_a_restart_of_the_controller(run: Run, undisturbed: str) -> None:
    run.start()
    run.checkpoint()
    control("restart-ctld")
    assert run.end() == 0, run.output()
    assert "going on from" not in run.log()
    assert run.sums() == undisturbed


def test_a_job_killed_for_its_memory_is_given_more(run: Run, undisturbed: str) -> None:
    run.start("--set-resources", "finetune:mem_mb=450*attempt")
    assert run.end() == 0, run.output()
    of_run = ("--name", run.name(), "--starttime", "now-1days")
    # A step of the first job ended by SIGKILL.
    assert slurm("sacct", "-n", "-X", "-D", "-P", "-o", "DerivedExitCode", *of_run).split()[0] == "0:9"
    asked = re.findall(r"mem_mb=(\d+)", run.said())
    assert asked[0] == "450"
    assert asked[-1] == "900"
    assert run.sums() == undisturbed


def test_a_job_stops_before_its_time_limit_and_goes_on(run: Run, speed: float) -> None:
    # The first job has a minute, too little even if the machine is twice as fast by now; the second has ten.
    train_for(run.folder, round(150 * speed))
    run.start("--set-resources", "finetune:runtime=9*attempt-8")
    assert run.end() == 0, run.output()
    stopped = re.findall(r"^finetune teacher: stopped by the time limit after step (\d+)", run.output(), re.M)
    assert stopped
    assert f"step-{stopped[-1]}" in re.findall(r"going on from .*/(step-\d+)", run.log())
    assert "TIMEOUT" not in run.output()


def test_a_run_stopped_with_ctrl_c_goes_on_when_it_is_started_again(run: Run, undisturbed: str) -> None:
    run.start()
    run.checkpoint()
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end() == 1
    wait_until(lambda: not slurm("squeue", "-h"))
    (stopped,) = re.findall(r"stopped by SIGTERM after step (\d+)", run.log())
    run.start()
    assert run.end() == 0, run.output()
    assert re.search(rf"going on from .*/step-{stopped}\b", run.log())
    assert run.sums() == undisturbed


def test_sigusr1_reaches_the_stage_through_the_job_step(run: Run, undisturbed: str) -> None:
    run.start()
    run.checkpoint()
    job, _ = run.job()
    slurm("scancel", "--signal=USR1", job)
    assert run.end() == 0, run.output()
    assert "stopped by SIGUSR1 after step" in run.output()
    assert run.sums() == undisturbed


def test_a_job_cancelled_by_hand_is_noticed(run: Run, undisturbed: str) -> None:
    run.start()
    run.checkpoint()
    job, _ = run.job()
    slurm("scancel", job)
    assert run.end() == 0, run.output()
    assert "stopped by SIGTERM after step" in run.output()
    assert run.sums() == undisturbed


def test_processes_on_two_gpus_stop_together_and_go_on(run: Run, tmp_path: Path) -> None:
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    write_config(run.folder / "config.yaml", {**config, "gpus": 2, "threads": 2})
    alone = train(shutil.copytree(run.folder, tmp_path / "undisturbed", copy_function=shutil.copy2))
    run.site["slurm_partition"] = "gpu"
    run.start()
    run.checkpoint()
    job, _ = run.job()
    granted = slurm("sacct", "-n", "-X", "-j", job, "-P", "-o", "AllocTRES").split(",")
    assert {"cpu=2", "gres/gpu=2", "node=1"} <= set(granted)
    slurm("scancel", "--signal=TERM", job)
    assert run.end() == 0, run.output()
    assert "stopped by SIGTERM after step" in run.output()
    assert "going on from" in run.log()
    assert read_manifest((run.folder / TEACHER).parent)["processes"] == 2
    assert run.sums() == alone.read_text()


def test_the_default_config_runs_on_four_nodes(run: Run, tmp_path: Path) -> None:
    """The same graph in small; `benchmarks/cluster.py` runs it whole."""
    shutil.rmtree(run.folder)
    small = tmp_path / "small"
    shrink = [sys.executable, "-m", "kdpipe.cli", "shrink", str(ROOT / "config.yaml"), "--output", str(small)]
    subprocess.run(shrink, check=True)
    run.folder.mkdir()
    config = yaml.safe_load((small / "config.yaml").read_text())
    write_config(run.folder / "config.yaml", {**config, "results": "results"})
    # A job takes a whole node, so that all nodes have work.
    run.site["slurm_extra"] = "'--exclusive'"
    run.start(targets=())
    assert run.end(seconds=1800) == 0, run.output()
    # Without a start, sacct tells of the jobs since midnight.
    of_run = ("--name", run.name(), "--starttime", "now-1days")
    nodes = set(slurm("sacct", "-n", "-X", "-P", "-o", "NodeList", *of_run).split())
    assert len(nodes) == 4
    assert nodes == set(slurm("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N").split())
    results = pd.read_parquet(run.folder / "results/report/results.parquet")
    assert results["value"].notna().all()
    assert {"pretrain", "finetune", "distill", "schedule"} <= set(results["stage"])
