"""Memory of a training on a small and on a large corpus.

    python benchmarks/memory.py [--folder DIR] [--json FILE]   # needs 10 GB of disk

Rows of 128 tokens are written to a folder for temporary files. A small masked language model trains ten steps
on 10 million and on 1 billion of these tokens, each time in an interpreter of its own, after the tokens are
counted. A split of 2.3 billion tokens, more than 32 bits can count, is opened and read at its end. Memory
is private: pages of mapped files do not count, since the system takes them back when it needs them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa

from kdpipe.data.encoded import EncodedSplit, split_file

LENGTH, ROWS, VOCABULARY = 128, 8192, 30522
SMALL, LARGE, HUGE = 10_000_000, 1_000_000_000, 2_300_000_000
LIMIT_MB = 200
SAMPLED_EVERY = 0.02


def main() -> int:
    """Measure, print a table, write JSON; or, with `--run`, be one of the runs measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the rows are written")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--run", choices=["train", "open"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        (train_steps if options.run == "train" else read_end)(options.folder)
        return 0
    sizes = {"train": (SMALL, LARGE), "open": (HUGE,)}
    result = [measure(run, tokens, options.folder) for run in sizes for tokens in sizes[run]]
    for line in result:
        print("{run:6}{tokens:15,} tokens {seconds:8.1f} s {private_mb:10.0f} MB".format(**line))
    difference = result[1]["private_mb"] - result[0]["private_mb"]
    a_row = difference * 1e6 * LENGTH / LARGE
    print(f"difference {difference:.0f} MB (at most {LIMIT_MB}), {a_row:.1f} bytes a row")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(difference > LIMIT_MB)


def measure(run: str, tokens: int, folder: Path | None) -> dict[str, Any]:
    """Write a split, run on it in a new interpreter, and return the seconds and the most private memory."""
    with TemporaryDirectory(dir=folder) as scratch:
        write_split(Path(scratch), tokens)
        start, peak = time.perf_counter(), 0
        command = [sys.executable, __file__, "--run", run, "--folder", scratch]
        with subprocess.Popen(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}) as child:
            while child.poll() is None:
                peak = max(peak, private(child.pid))
                time.sleep(SAMPLED_EVERY)
        if child.returncode:
            raise SystemExit(child.returncode)
        seconds = time.perf_counter() - start
    return {"run": run, "tokens": tokens, "seconds": seconds, "private_mb": peak / 1e6}


def private(process_id: int) -> int:
    """Return the resident memory of a process that no file backs, in bytes."""
    try:
        memory = psutil.Process(process_id).memory_info()
        return int(memory.rss - memory.shared)
    except psutil.NoSuchProcess:
        return 0


def write_split(folder: Path, tokens: int) -> None:
    """Write a training split whose record batches all hold the same rows."""
    ids = np.random.default_rng(0).integers(5, VOCABULARY, ROWS * LENGTH, dtype=np.int32)
    offsets = np.arange(0, (ROWS + 1) * LENGTH, LENGTH, dtype=np.int32)
    columns = {
        "id": pa.array([f"train:{row}" for row in range(ROWS)]),
        "input_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
        "length": pa.array(np.full(ROWS, LENGTH, dtype=np.int32)),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    with pa.ipc.new_file(str(split_file(folder, "train")), batch.schema) as writer:
        for start in range(0, tokens // LENGTH, ROWS):
            writer.write_batch(batch.slice(0, tokens // LENGTH - start))
    splits = {"train": {"columns": list(columns)}}
    description = {"task": "language_modeling", "labels": None, "splits": splits}
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def train_steps(data: Path) -> None:
    """Count the tokens and train ten steps."""
    from transformers import BertConfig, BertForMaskedLM

    from kdpipe.artifacts.checkpoints import Checkpoints
    from kdpipe.data.batches import Collator
    from kdpipe.data.encoded import count_tokens
    from kdpipe.data.targets import Masking, token_weights
    from kdpipe.evaluation.scoring import task_of
    from kdpipe.training.objective import Objective
    from kdpipe.training.run import train
    from kdpipe.training.terms import hard_term

    counts = count_tokens(split_file(data, "train"), VOCABULARY)["count"].to_numpy()
    masking = Masking(token_weights(counts, [0, 1, 2, 3, 4]), 4, 0.15, (0.8, 0.1, 0.1), seed=1)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    task = task_of(data)
    train(
        BertForMaskedLM(BertConfig(**sizes)),
        Objective([hard_term(task)], task.kind),
        Collator(EncodedSplit(data, "train"), pad_id=0, targets=masking),
        {"max_steps": 10, "per_device_train_batch_size": 32, "bf16": False, "report_to": []},
        seed=1,
        checkpoints=Checkpoints(data / "state"),
    )


def read_end(data: Path) -> None:
    """Open a split and read its last rows."""
    split = EncodedSplit(data, "train")
    last = np.arange(len(split) - 32, len(split))
    assert len(split.column("input_ids")[last]) == 32 * LENGTH


if __name__ == "__main__":
    sys.exit(main())
