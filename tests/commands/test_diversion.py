"""What others write to a terminal stays there while lines below it change."""

import sys
from pathlib import Path

from tests.terminal import run_on_terminal, shown

# A process that writes below the live lines, and draws a bar, while they are drawn again and again.
RUN = """
import os, subprocess, sys, time
import kdpipe.commands.live as live
from kdpipe.commands.diversion import Diversion, copy_of
live.INTERVAL = 0.05
lines = live.Live(copy_of(sys.stderr), lambda: ["  finetune a", "  finetune b", "2 at work"])
diversion = Diversion(lines.say)
time.sleep(0.2)
subprocess.run([sys.executable, "-c", sys.argv[1]])
os.system("printf 'first\\r'; printf 'bar at its end\\n'")
print("of Python itself", flush=True)
time.sleep(0.2)
lines.say("said")
diversion.close()
lines.close()
print("the end")
"""


def test_a_traceback_of_a_job_stays_above_the_lines(tmp_path: Path) -> None:
    status, text = run_on_terminal([sys.executable, "-c", RUN, "import no_such_module"], tmp_path)
    assert status == 0
    assert "2 at work" in text
    lines = shown(text)
    assert lines[0].startswith("Traceback")
    assert "ModuleNotFoundError: No module named 'no_such_module'" in lines
    assert lines[-5:] == ["bar at its end", "of Python itself", "said", "the end", ""]


def test_what_is_no_terminal_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as file:
        command = [sys.executable, "-c", RUN, "print('of a job')"]
        status, text = run_on_terminal(command, tmp_path, output=file.fileno())
    assert status == 0
    assert (tmp_path / "output").read_text().splitlines() == [
        *("of a job", "first", "bar at its end", "of Python itself", "the end")
    ]
    assert shown(text) == ["said", ""]
