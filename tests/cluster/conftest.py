"""A small pipeline whose teacher is trained on a SLURM cluster; tests may kill the cluster's nodes.

`KDPIPE_CLUSTER` names the command that controls the cluster: `kill-node N`, `start-node N`, `restart-ctld`.
Its partitions are `cpu`, `gpu` and `scavenge`; jobs of `cpu` preempt those of `scavenge`.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ROOT, SNAKEMAKE, pipeline, snakemake, write_config

CONTROL = os.environ.get("KDPIPE_CLUSTER", "")
TEACHER, LOG = "results/models/teacher/SHA256SUMS", "results/logs/finetune/teacher.log"
SECONDS = 600


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> None:
    """Skip where there is no cluster, before anything is trained."""
    if shutil.which("sbatch") is None:
        pytest.skip("sbatch is missing")
    if not CONTROL:
        pytest.skip("KDPIPE_CLUSTER names no command that controls the cluster")


def slurm(*command: str) -> str:
    """Return what a command of SLURM prints."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def control(*words: str) -> None:
    """Control the cluster."""
    subprocess.run([CONTROL, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def wait_until(true: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


@dataclass
class Run:
    """A run of the workflow over SLURM.

    Args:
        folder: where it runs.
        site: what its jobs ask for by default.
    """

    folder: Path
    site: dict[str, str] = field(default_factory=lambda: {"slurm_account": "dev", "slurm_partition": "cpu"})
    process: "subprocess.Popen[bytes] | None" = None
    earlier: set[str] = field(default_factory=set)

    def start(self, *arguments: str, targets: tuple[str, ...] = (TEACHER,)) -> None:
        """Start Snakemake, as a user of the cluster does."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        write_config(site / "config.yaml", {"default-resources": self.site})
        command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
        command += ["--workflow-profile", str(ROOT / "profiles/slurm"), "--profile", str(site)]
        command += ["--slurm-init-seconds-before-status-checks", "3", *arguments, "--", *targets]
        with (self.folder / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Tests that run in the background of a shell, and what they start, are deaf to Ctrl-C.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    def end(self, seconds: float = SECONDS) -> int:
        """Wait until Snakemake ends, and return its exit status."""
        assert self.process is not None
        return self.process.wait(seconds)

    def checkpoint(self) -> str:
        """Wait for a checkpoint that was not there when this was called last."""

        def found() -> set[str]:
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            whole = self.folder.glob("results/.state/checkpoints/*/*/step-*/SHA256SUMS")
            return {path.parent.name for path in whole} - self.earlier

        new: set[str] = wait_until(found)
        self.earlier |= new
        return max(new)

    def job(self) -> tuple[str, str]:
        """Return the number of the job that runs, and its node."""
        jobs = slurm("squeue", "-h", "-t", "running", "--name", self.name(), "-o", "%i %N").splitlines()
        assert len(jobs) == 1, f"{jobs} run\n{self.output()}"
        number, node = jobs[0].split()
        return number, node

    def name(self) -> str:
        """Return the name that all its jobs have."""
        return self.output().split("SLURM run ID: ")[-1].split()[0]

    def log(self) -> str:
        """Return the log of the training."""
        return (self.folder / LOG).read_text()

    def output(self) -> str:
        """Return what Snakemake printed."""
        return (self.folder / "run.log").read_text()

    def said(self) -> str:
        """Return what Snakemake keeps in the log of this run."""
        return max((self.folder / ".snakemake/log").glob("*.log")).read_text()

    def sums(self) -> str:
        """Return the sums of the trained model."""
        return (self.folder / TEACHER).read_text()


def train_for(folder: Path, epochs: int) -> None:
    """Set in the config of a folder for how many epochs the teacher is trained."""
    file = folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["models"]["teacher"]["finetune"]["training"]["num_train_epochs"] = epochs
    write_config(file, config)


def train(folder: Path, target: str = TEACHER) -> Path:
    """Run the workflow here, undisturbed, as far as a target, and return the target."""
    done = snakemake(folder, "--configfile", "config.yaml", "--", target, forked=False)
    assert done.returncode == 0, done.stdout
    return folder / target


@pytest.fixture(scope="session")
def data(sst2: Path, text_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the teacher is trained from, for 50 epochs."""
    folder = tmp_path_factory.mktemp("cluster")
    config = pipeline(sst2, text_files)
    training = {**config["defaults"]["finetune"]["training"], "num_train_epochs": 50}
    config["models"]["teacher"]["finetune"] |= {"training": training, "evaluate": []}
    write_config(folder / "config.yaml", {**config, "checkpoint_minutes": 0.03})
    train(folder, "results/data/task/base/SHA256SUMS")
    return folder


@pytest.fixture(scope="session")
def speed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The epochs that this machine trains the teacher for in a second."""
    trial = shutil.copytree(data, tmp_path_factory.mktemp("trial") / "run", copy_function=shutil.copy2)
    train(trial)
    (seconds,) = re.findall(r"train_runtime ([\d.]+)", (trial / LOG).read_text())
    return 50 / float(seconds)


@pytest.fixture(scope="session")
def prepared(data: Path, speed: float) -> Path:
    """The folder with all that the teacher is trained from, for about 45 seconds."""
    train_for(data, round(45 * speed))
    return data


@pytest.fixture(scope="session")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sums of the teacher that was trained here, undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return train(shutil.copytree(prepared, folder, copy_function=shutil.copy2)).read_text()


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Iterator[Run]:
    """A run that has not started; what is left of it in the end is cancelled."""
    run = Run(shutil.copytree(prepared, tmp_path / "run", copy_function=shutil.copy2))
    yield run
    if run.process is not None and run.process.poll() is None:
        os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()
    slurm("scancel", "--user", slurm("id", "-un"))
    for node in slurm("sinfo", "-h", "-N", "-p", "cpu", "-t", "down", "-o", "%N").split():
        control("start-node", node)
    wait_until(lambda: not slurm("squeue", "-h"))
