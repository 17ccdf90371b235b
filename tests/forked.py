"""Processes that are forked off a server, which has done the imports: most of the time of a small stage.

Tests of starts, kills and clusters use real processes.
"""

import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# What asks the server for a process has no need of other modules, and starts in 30 ms.
INTERPRETER = """#!{python} -ISs
import sys
sys.path.insert(0, {root!r})
from tests.forked import be_forked
be_forked({address!r}, sys.argv[1:])
"""


class Server:
    """A server that processes are forked off.

    Args:
        folder: takes its socket, and a `python` that runs modules in processes of this server.
    """

    def __init__(self, folder: Path) -> None:
        self.python = folder / "python"
        address = str(folder / "socket")
        self.python.write_text(INTERPRETER.format(python=sys.executable, root=str(ROOT), address=address))
        self.python.chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-c", f"from tests.forked import serve; serve({address!r})"]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        while not Path(address).exists():
            assert self._process.poll() is None
            time.sleep(0.05)

    def end(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()


def serve(address: str) -> NoReturn:
    """Fork a process for whoever asks at an address.

    Args:
        address: the file of the socket.
    """
    import tests.preloaded  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen()
        Path(f"{address}.new").rename(address)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            connection, _ = listener.accept()
            with connection:
                if not os.fork():
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    listener.close()
                    _answer(connection, f"{Path(address).parent / 'python'}")


def be_forked(address: str, words: Sequence[str]) -> NoReturn:
    """Be Python: run a module in a process of a server, and anything else in this process.

    Args:
        address: the file of the server's socket.
        words: what the command line says after `python`.
    """
    if words[0] != "-m":
        os.execv(sys.executable, [sys.executable, *words])
    asked = {"words": words[1:], "folder": str(Path.cwd()), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection, closing(connection.makefile("r")) as answers:
        connection.connect(address)
        socket.send_fds(connection, [b"\0"], [0, 1, 2])
        connection.sendall(json.dumps(asked).encode() + b"\n")
        process = int(answers.readline())
        for number in FORWARDED:
            signal.signal(number, lambda number, _: os.kill(process, number))
        status = int(answers.readline())
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _answer(connection: socket.socket, python: str) -> NoReturn:
    """Fork a process, and tell who asked how it ends; it ends with the one who asked."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with closing(connection.makefile("rw")) as stream:
        asked = json.loads(stream.readline())
        process = os.fork()
        if not process:
            for number, file in enumerate(files):
                os.dup2(file, number)
            os.chdir(asked["folder"])
            os.environ.clear()
            os.environ.update(asked["environment"])
            sys.executable = python
            _be_module(*asked["words"])
        stream.write(f"{process}\n")
        stream.flush()
        ended = os.pidfd_open(process)
        with suppress(BrokenPipeError):
            if ended not in select.select([ended, connection.fileno()], [], [])[0]:
                os.kill(process, signal.SIGKILL)
            stream.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
            stream.flush()
    os._exit(0)


def _be_module(module: str, *words: str) -> NoReturn:
    """Run a module as the main module, though it may be imported already, and end."""
    tempfile.tempdir = None
    random.seed()
    status: object = 0
    try:
        _run(module, words)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if not isinstance(status, int | None):
        sys.stderr.write(f"{status}\n")
        status = 1
    for stream in (sys.stdout, sys.stderr):
        # The log of a process may lie on a full disk; Python too ignores this at its end.
        with suppress(OSError):
            stream.flush()
    os._exit(status or 0)


def _run(module: str, words: Sequence[str]) -> None:
    warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def be_stage(stage: str, arguments: Sequence[str], console: Path, folder: Path) -> NoReturn:
    """Be the process of a stage, as its command line starts it.

    Args:
        stage: its name.
        arguments: what its command line says.
        console: takes what it prints.
        folder: where it works.
    """
    with console.open("w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    os.chdir(folder)
    # multiprocessing would end with another status where a log lies on a full disk.
    _be_module(f"kdpipe.stages.{stage}", *arguments)
