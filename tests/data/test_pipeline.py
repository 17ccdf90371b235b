"""Encoding in several processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdpipe.data.encoding import encoder_for
from kdpipe.data.pipeline import CHUNK_CHARACTERS, CHUNK_EXAMPLES, LOOKAHEAD, Pipeline, chunks
from kdpipe.data.source import Example
from kdpipe.errors import DataError

SCRIPT = """
print("imported", flush=True)
import sys
from pathlib import Path
from kdpipe.data.encoding import encoder_for
from kdpipe.data.pipeline import Pipeline
from kdpipe.data.source import Example
make_encoder = encoder_for("classification", Path(sys.argv[1]), 8, ("yes",))
with Pipeline(make_encoder, 2) as pipeline:
    print(next(pipeline.encode([[Example("1", "a")]])).counts["tokens"])
"""


def examples(number):
    return [Example(str(i), "ab " * (i % 7), label="yes") for i in range(number)]


def test_chunks_hold_a_number_of_examples():
    sizes = [len(chunk) for chunk in chunks(examples(2 * CHUNK_EXAMPLES + 1))]
    assert sizes == [CHUNK_EXAMPLES, CHUNK_EXAMPLES, 1]


def test_chunks_hold_a_number_of_characters():
    long = Example("x", "a" * (CHUNK_CHARACTERS // 4), "b" * (CHUNK_CHARACTERS // 4))
    assert [len(chunk) for chunk in chunks([long] * 5)] == [2, 2, 1]


def test_any_number_of_processes_gives_the_same(tokenizer_file):
    make_encoder = encoder_for("classification", tokenizer_file, 8, ("yes",))
    given = examples(5 * CHUNK_EXAMPLES)
    results = []
    for processes in (1, 2):
        with Pipeline(make_encoder, processes) as pipeline:
            results.append(list(pipeline.encode(chunks(given))))
    one, two = results
    assert len(one) == 5
    assert all(a.batch.equals(b.batch) and a.counts == b.counts for a, b in zip(one, two, strict=True))


def test_reads_no_further_ahead_than_it_must(tokenizer_file):
    read = 0

    def counted():
        nonlocal read
        for example in examples(20 * CHUNK_EXAMPLES):
            read += 1
            yield example

    make_encoder = encoder_for("classification", tokenizer_file, 8, ("yes",))
    with Pipeline(make_encoder, 2) as pipeline:
        next(pipeline.encode(chunks(counted())))
    assert read <= (2 * LOOKAHEAD + 1) * CHUNK_EXAMPLES


def test_workers_do_not_import_the_main_module(tokenizer_file, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tokenizer_file)]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    assert output.stdout.split() == ["imported", "3"]


@pytest.mark.parametrize("labels", [("no",), None])
def test_mistakes_in_a_worker_reach_the_caller(tokenizer_file, tmp_path, labels):
    file = tokenizer_file if labels else tmp_path / "none.json"
    make_encoder = encoder_for("classification", file, 8, ("no",))
    with Pipeline(make_encoder, 2) as pipeline, pytest.raises(DataError, match="expected"):
        list(pipeline.encode(chunks(examples(3))))


ENDLESS = """
import multiprocessing, sys
from itertools import repeat
from pathlib import Path
from kdpipe.data.encoding import encoder_for
from kdpipe.data.pipeline import Pipeline
from kdpipe.data.source import Example
make_encoder = encoder_for("classification", Path(sys.argv[1]), 8, ("yes",))
with Pipeline(make_encoder, 2) as pipeline:
    for number, _ in enumerate(pipeline.encode(repeat([Example("1", "a")]))):
        if number == 10:
            print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
"""


def test_workers_end_with_what_started_them(tokenizer_file):
    """Killed, it cannot tell them to."""
    command = [sys.executable, "-c", ENDLESS, str(tokenizer_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        process.kill()
    deadline = time.monotonic() + 10
    while any(map(_is_running, workers)):
        assert time.monotonic() < deadline, workers
        time.sleep(0.05)


def _is_running(pid):
    try:
        # A process that has ended, but which nobody has asked for yet, has no memory.
        return bool(Path(f"/proc/{pid}/statm").read_text().strip("0 \n"))
    except (FileNotFoundError, ProcessLookupError):
        return False
