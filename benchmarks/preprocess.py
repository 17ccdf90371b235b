"""Speed and memory of writing a dataset, beside bare `tokenizers.encode_batch` on the same text.

    python benchmarks/preprocess.py [--text FILE] [--processes N] [--repeats N] [--json FILE]

Both sides take turns, and each run has its own interpreter. The bare side has the lines in memory, batches as
large as the pipeline's chunks and as many threads as the other side has processes, and it drops its results.
Writing a dataset is everything that the stage does: read, start the processes, tokenize, clean, write.
Memory is sampled and summed over the processes of a run, for the text once and repeated four times.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil  # type: ignore[import-untyped]
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from tokenizers.trainers import WordPieceTrainer

from kdpipe.data.pipeline import CHUNK_EXAMPLES
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.pydoc import PydocSource
from kdpipe.data.sources.text import TextSource

VOCAB_SIZE = 8000
MAX_LENGTH = 512
SAMPLED_EVERY = 0.02
TARGET = 0.8

Result = dict[str, Any]


def main() -> None:
    """Measure, print a table, write JSON; or, with `--run`, do one of the measured runs."""
    options = parse_arguments()
    if options.run:
        run = run_bare if options.run == "bare" else run_kdpipe
        outcome = run(options.text, options.tokenizer, options.processes)
        print(json.dumps(outcome))
        return
    with TemporaryDirectory() as folder:
        result = measure(Path(folder), options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="UTF-8, one example a line; default: docstrings")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--tokenizer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", choices=["bare", "kdpipe"], help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(folder: Path, options: argparse.Namespace) -> Result:
    """Run both sides in turns on the larger text, and kdpipe once on the smaller."""
    once, fourfold = write_texts(folder, options.text)
    tokenizer = train_tokenizer(folder, once)
    bare, kdpipe = [], []
    for _ in range(options.repeats):
        bare.append(spawn("bare", fourfold, tokenizer, options.processes))
        kdpipe.append(spawn("kdpipe", fourfold, tokenizer, options.processes))
    small = spawn("kdpipe", once, tokenizer, options.processes)
    tokens = bare[0]["tokens"]
    return {
        "text_mb": fourfold.stat().st_size / 1e6,
        "tokens": tokens,
        "processes": options.processes,
        "bare_tokens_per_s": [tokens / run["seconds"] for run in bare],
        "kdpipe_tokens_per_s": [tokens / run["seconds"] for run in kdpipe],
        "ratio": median(b["seconds"] / k["seconds"] for b, k in zip(bare, kdpipe, strict=True)),
        "bare_peak_mb": max(run["peak_mb"] for run in bare),
        "kdpipe_peak_mb": max(run["peak_mb"] for run in kdpipe),
        "kdpipe_peak_mb_of_a_quarter": small["peak_mb"],
    }


def write_texts(folder: Path, text: Path | None) -> tuple[Path, Path]:
    """Write the text once, and repeated four times, with one example per line."""
    if text:
        content = text.read_text(encoding="utf-8")
    else:
        source = PydocSource(task="language_modeling")
        content = "".join(f"{e.text}\n" for split in source.splits() for e in source.read(split))
    once, fourfold = folder / "once.txt", folder / "fourfold.txt"
    once.write_text(content, encoding="utf-8")
    fourfold.write_text(content * 4, encoding="utf-8")
    return once, fourfold


def train_tokenizer(folder: Path, text: Path) -> Path:
    """Train a BERT tokenizer on the text."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = WordPieceTrainer(vocab_size=VOCAB_SIZE, special_tokens=special, show_progress=False)
    tokenizer.train([str(text)], trainer)
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    file = folder / "tokenizer.json"
    tokenizer.save(str(file))
    return file


def spawn(run: str, text: Path, tokenizer: Path, processes: int) -> dict[str, float]:
    """Run one side in a new interpreter, and return its seconds, tokens and peak memory."""
    threads = {"RAYON_NUM_THREADS": str(processes)}
    threads |= {"TOKENIZERS_PARALLELISM": "true"} if run == "bare" else {}
    arguments = ["--run", run, "--text", text, "--tokenizer", tokenizer, "--processes", processes]
    command = [sys.executable, __file__, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, resident(child.pid))
            time.sleep(SAMPLED_EVERY)
        output, _ = child.communicate()
    return {**json.loads(output), "peak_mb": peak / 1e6}


def resident(process_id: int) -> int:
    """Return the resident memory of a process and of all its child processes, in bytes."""
    try:
        process = psutil.Process(process_id)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.NoSuchProcess:
        return 0


def run_bare(text: Path, tokenizer_file: Path, processes: int) -> dict[str, float]:
    """Time `encode_batch` on the lines of a text; the environment sets its threads."""
    del processes
    lines = text.read_text(encoding="utf-8").split("\n")
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokens = 0
    start = time.perf_counter()
    for first in range(0, len(lines), CHUNK_EXAMPLES):
        encodings = tokenizer.encode_batch(lines[first : first + CHUNK_EXAMPLES])
        tokens += sum(map(len, encodings))
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def run_kdpipe(text: Path, tokenizer_file: Path, processes: int) -> dict[str, float]:
    """Time `write_dataset` on a text."""
    task = "language_modeling"
    source = TextSource(task=task, path=text)
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        written = write_dataset(
            Path(folder),
            source,
            tokenizer_file,
            task=task,
            max_length=MAX_LENGTH,
            processes=processes,
        )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "tokens": written["splits"]["train"]["tokens"]}


def table(result: Result) -> str:
    """Return the numbers as a table."""
    bare, kdpipe = median(result["bare_tokens_per_s"]), median(result["kdpipe_tokens_per_s"])
    quarter = f"{result['kdpipe_peak_mb_of_a_quarter']:.0f}"
    return (
        f"{result['tokens'] / 1e6:.1f} M tokens, {result['text_mb']:.0f} MB of text,"
        f" {result['processes']} processes; medians of {len(result['kdpipe_tokens_per_s'])}\n"
        f"{'':24}{'tokens/s':>12}{'peak MB':>10}{'of 1/4 the text':>18}\n"
        f"{'encode_batch':24}{bare:12,.0f}{result['bare_peak_mb']:10.0f}{'':>18}\n"
        f"{'kdpipe write_dataset':24}{kdpipe:12,.0f}{result['kdpipe_peak_mb']:10.0f}{quarter:>18}\n"
        f"ratio {result['ratio']:.2f} (target: at least {TARGET})"
    )


if __name__ == "__main__":
    main()
