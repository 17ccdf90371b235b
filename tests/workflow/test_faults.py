"""A run that is killed at random moments, and started again, ends with the bytes of an undisturbed run.

KDPIPE_KILLS says how often; docs/results/faults.md has what came of 20 kills.
"""

import logging
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.errors import EXIT_STATUS
from tests.workflow.conftest import ROOT, SNAKEMAKE, write_config

pytestmark = pytest.mark.slow
LOG = logging.getLogger(__name__)
CONFIG = Path(__file__).with_name("faults.yaml")
KILLS = int(os.environ.get("KDPIPE_KILLS", "4"))
SEED = 42
CORES = 2
# The report has a column that says how long models took.
TIMED = "report"


class Kill(NamedTuple):
    """When something is killed, and what.

    Args:
        done: artifacts that are there before its time begins to run.
        share: the time until then, as a share of the mean time of a job.
        all: whether it is the whole process group, or Snakemake alone.
    """

    done: int
    share: float
    all: bool


def draw_kills(number: int, artifacts: int) -> list[Kill]:
    """Return kills that are spread over a run, half of them of all processes."""
    rng = random.Random(SEED)
    whom = [index % 2 == 0 for index in range(number)]
    rng.shuffle(whom)
    return [Kill(index * artifacts // number, rng.uniform(0, 2), whom[index]) for index in range(number)]


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """A function that starts the workflow as a user would, in a session of its own."""
    sessions = []

    def begin(folder: Path, *more: str, config: Path = CONFIG) -> "subprocess.Popen[bytes]":
        command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--cores", str(CORES)]
        with (folder / "output").open("ab") as output:
            process = subprocess.Popen(
                [*command, "--configfile", str(config), *more],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        sessions.append(process.pid)
        return process

    yield begin
    for session in sessions:
        with suppress(ProcessLookupError):
            os.killpg(session, signal.SIGKILL)


def finished(folder: Path) -> dict[str, bytes]:
    """Return the digests of the artifacts that are there."""
    results = folder / "results"
    return {
        str(path.parent.relative_to(results)): path.read_bytes() for path in results.glob(f"[!.]*/**/{SUMS}")
    }


def stages(session: int) -> Iterator[str]:
    """Yield the stages of a session that run, each with what it makes."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
            own = os.getsid(int(process.name)) == session
        except (FileNotFoundError, ProcessLookupError):
            continue
        if own and "--output" in words:
            yield f"{words[2].rpartition('.')[2]} {Path(words[words.index('--output') + 1]).name}"


def wait_for(
    process: "subprocess.Popen[bytes]", kill: Kill, folder: Path, seconds: float, last: int
) -> float:
    """Wait for the moment of a kill, and return the seconds since the start.

    Args:
        process: the Snakemake that will be killed.
        kill: when.
        folder: where it runs.
        seconds: the mean seconds of a job.
        last: artifacts that are there when the last is being made, which no kill may miss.
    """
    started, reached = time.monotonic(), None
    while True:
        assert process.poll() is None, (folder / "output").read_text()
        done, now = len(finished(folder)), time.monotonic()
        if reached is None and done >= kill.done:
            reached = now
        if reached is not None and (now >= reached + kill.share * seconds or done == last):
            return now - started
        time.sleep(0.05)


def results(folder: Path) -> Any:
    """Return the table of results but for how long models took."""
    return pq.read_table(folder / "results/report/results.parquet").drop_columns("seconds")


@pytest.fixture(scope="module")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a run that nothing disturbs, and the mean seconds of a job."""
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert start(folder).wait() == 0, (folder / "output").read_text()
    return folder, CORES * (time.monotonic() - started) / len(finished(folder))


def test_killed_and_started_again_it_ends_with_the_same_bytes(
    undisturbed: tuple[Path, float], start: Start, tmp_path: Path
) -> None:
    reference, seconds = undisturbed
    rows = ["| kill | after | done | killed | at work | outlived earlier ones |", "|---|---|---|---|---|---|"]
    sessions: list[int] = []
    last = len(finished(reference)) - 1
    for number, kill in enumerate(draw_kills(KILLS, last), 1):
        process = start(tmp_path)
        after = wait_for(process, kill, tmp_path, seconds, last)
        done, running = len(finished(tmp_path)), ", ".join(stages(process.pid))
        outlived = ", ".join(chain.from_iterable(map(stages, sessions)))
        (os.killpg if kill.all else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        sessions.append(process.pid)
        whom = "all" if kill.all else "Snakemake"
        rows.append(f"| {number} | {after:.1f} s | {done} | {whom} | {running} | {outlived} |")
    assert start(tmp_path).wait() == 0, (tmp_path / "output").read_text()
    LOG.info("\n".join(rows))
    while any(chain.from_iterable(map(stages, sessions))):
        time.sleep(0.1)
    expected, made = finished(reference), finished(tmp_path)
    assert {**made, TIMED: b""} == {**expected, TIMED: b""}
    for name in made:
        verify(tmp_path / "results" / name)
    assert results(tmp_path).equals(results(reference))
    assert not [*tmp_path.glob("results/.state/drafts/*"), *tmp_path.glob("results/.state/checkpoints/*")]
    assert start(tmp_path, "-n").wait() == 0
    assert "Nothing to be done" in (tmp_path / "output").read_text()[-1000:]


def test_what_outlived_snakemake_is_not_made_again(start: Start, folder: Path) -> None:
    """The `folder` of a small pipeline that has run; its student is made once more."""
    student = folder / "results/models/student"
    shutil.rmtree(student)
    process = start(folder, config=folder / "config.yaml")
    while not any(stages(process.pid)):
        assert process.poll() is None, (folder / "output").read_text()
        time.sleep(0.05)
    process.kill()
    process.wait()
    while any(stages(process.pid)):
        time.sleep(0.05)
    made = (student / "model.safetensors").stat().st_ino
    assert start(folder, config=folder / "config.yaml").wait() == 0, (folder / "output").read_text()
    assert (student / "model.safetensors").stat().st_ino == made
    assert not list((folder / "results/.state/finished").iterdir())


def test_results_on_a_read_only_disk_are_told_at_the_start(
    start: Start, config: dict[str, Any], small_disk: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    write_config(tmp_path / "config.yaml", {**config, "results": str(small_disk / "results")})
    assert start(tmp_path, config=tmp_path / "config.yaml").wait() == EXIT_STATUS
    output = (tmp_path / "output").read_text()
    assert re.search(rf"^{small_disk}.* cannot be read or written \(read-only", output, re.MULTILINE)
    assert "Traceback" not in output
