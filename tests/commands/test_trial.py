"""`kdpipe test` that is stopped leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from kdpipe.errors import INTERRUPTED_STATUS


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["kdpipe-test-*", "kdpipe-test-*/results/logs/pretrain/*.log"])
def test_ctrl_c_stops_the_run_and_removes_its_folder(sign: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kdpipe.cli", "test"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Tests that run in the background of a shell, and what they start, are deaf to Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not [*tmp_path.glob(sign)]:
        time.sleep(0.05)
    # A terminal sends it to all processes in the foreground.
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == INTERRUPTED_STATUS, said
    assert said.splitlines()[-1] == "stopped; nothing is left"
    assert not [*tmp_path.glob("kdpipe-test-*")]


WAITS = """
import time
from kdpipe import cli

def wait(words):
    print("begins", flush=True)
    time.sleep(60)

cli._configs = wait
cli.main(["graph"])
"""


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "begins\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == INTERRUPTED_STATUS
