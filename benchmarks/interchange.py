"""Speed and memory of an update with counterfactual runs, beside a standard update and three whole passes.

    python benchmarks/interchange.py [--size N] [--width N] [--hidden N] [--repeats N] [--json FILE]

A BERT of 12 blocks teaches DistilBERTs of 3, 6 and 9 blocks on random tokens, with a vocabulary of 30,522.
All sides take turns in one process, in float32 and on one thread: a standard update (`kl` at all tokens,
`hard`, `cosine`), an update with `kl` of the counterfactual run besides, for each of the eight published
alignments, and the naive update for `middle` of 6 blocks: three whole runs of both models, each with all its
logits, as the published code makes them. Each entry of an alignment is run once in a turn.

The arithmetic of an alignment counts its products of matrices: the source run ends at its site, the
counterfactual run begins there, and a pass backward costs two forward. Seconds are processor seconds, and
include the making of the batch. Memory is the peak of a process of its own that makes one update.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from kdpipe.anatomy.alignments import Pair, named_alignment
from kdpipe.data.batches import EXCHANGE, Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Masking
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.interchange.given import Intervention
from kdpipe.interchange.runs import Interchange, teacher_of
from kdpipe.losses.cosine import CosineLoss
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.models.creation import create_language_model
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.signals.capture import TEACHER, Origin
from kdpipe.training.learner import Learner
from kdpipe.training.objective import Objective
from kdpipe.training.terms import Weighted, build_objective

VOCABULARY, TEACHER_DEPTH, HEADS, TEMPERATURE = 30_522, 12, 12, 2.0
ALIGNMENTS = [(name, depth) for name in ("middle", "late", "full") for depth in (3, 6, 9)]
ALIGNMENTS.remove(("late", 9))
NAIVE = ("middle", 6)
OVER_ARITHMETIC, OF_MEMORY = 1.05, 0.5
STANDARD = [
    Weighted(KLLoss(TEMPERATURE), 0.25, positions="all", name="kl"),
    Weighted(HardLoss(), 0.25, name="hard"),
    Weighted(CosineLoss(), 0.25, name="cosine"),
]
COUNTERFACTUAL = Weighted(KLLoss(TEMPERATURE), 0.25, positions="all", name="kl", run="counterfactual")


def main() -> None:
    """Measure, print tables, write JSON; or, with `--run`, be a process whose memory is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="sequences of a batch")
    parser.add_argument("--width", type=int, default=64, help="tokens of a sequence")
    parser.add_argument("--hidden", type=int, default=384, help="width of a state")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--run", choices=["standard", "kdpipe", "naive"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.run:
        one_update(options)
        return
    result = {"seconds": seconds_of(options), "megabytes": megabytes_of(options)}
    print(table(result, options))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


@dataclass
class Setting:
    """A teacher, a student of some depth, and batches of random tokens."""

    teacher: Any
    student: Any
    batches: Collator

    def exchanged(self, given: Intervention, objective: Objective) -> tuple[Collator, Interchange | None]:
        """Return what makes batches with exchanges, and the interchange, if the objective reads any."""
        batches, models = self.batches, (self.teacher.config, self.student.config)
        interchanges = {teacher: given.between(*models) for teacher in objective.counterfactual}
        exchanges = given.exchanges(
            interchanges, batches.split, pad_id=0, tokenizer=None, targets=batches.targets, seed=1
        )
        collator = Collator(batches.split, 0, batches.targets, exchanges=exchanges)
        return collator, next(iter(interchanges.values()), None)


def setting_of(options: argparse.Namespace, depth: int) -> Setting:
    """Return models with random weights, and one batch of random tokens."""
    hidden = options.hidden
    shape = {"max_position_embeddings": options.width}
    bert = {"hidden_size": hidden, "num_hidden_layers": TEACHER_DEPTH, "num_attention_heads": HEADS}
    small = {"dim": hidden, "n_layers": depth, "n_heads": HEADS, "hidden_dim": 4 * hidden}
    teacher = create_language_model("bert", {**shape, **bert, "intermediate_size": 4 * hidden}, VOCABULARY, 1)
    student = create_language_model("distilbert", {**shape, **small}, VOCABULARY, 2)
    rng = np.random.default_rng(1)
    ids = rng.integers(1000, VOCABULARY, (options.size, options.width), dtype=np.int32)
    rows = {
        "id": [str(row) for row in range(options.size)],
        "input_ids": pa.array([*ids]),
        "length": pa.array([options.width] * options.size, pa.int32()),
    }
    split = EncodedSplit.of_rows([pa.RecordBatch.from_pydict(rows)], "language_modeling")
    weights = np.ones(VOCABULARY)
    weights[:1000] = 0
    targets = Masking(weights, 103, 0.15, (0.8, 0.1, 0.1), seed=1)
    for model in (teacher, student):
        use_fast_dropout(model)
    return Setting(teacher.eval(), student.train(), Collator(split, 0, targets))


def objective_of(losses: list[Weighted]) -> Objective:
    """Return the weighted sum of losses."""
    return build_objective(losses, LanguageModeling, {"teacher": SHAPE}, SHAPE, 1, VOCABULARY)


def update_of(setting: Setting, losses: list[Weighted], given: Intervention) -> Callable[[int], None]:
    """Return an update of a student with its batch, as kdpipe makes it, by the entry of the alignment."""
    objective = objective_of(losses)
    batches, interchange = setting.exchanged(given, objective)
    learner = Learner(setting.student, {"": objective}, {"": interchange})
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-5, fused=True)
    teacher = teacher_of(
        setting.teacher, objective.teachers[TEACHER], objective.counterfactual.get(TEACHER), interchange
    )

    def update(entry: int) -> None:
        batch = batch_of(batches, entry)
        signals = {Origin("teacher", run): found for run, found in teacher.runs(batch).items()}
        scales = {
            term.name: objective.weights(0)[term.name] / batch["counts"][term.averaged_over]
            for term in objective.terms
        }
        loss, _ = learner(batch, signals, scales)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def batch_of(batches: Collator, entry: int) -> dict[str, Any]:
    """Return the batch of all examples, with an entry of the alignment."""
    batch = batches(range(len(batches.split)))
    if EXCHANGE in batch:
        batch[EXCHANGE]["choice"] = (entry, 0)
    return batch


# Depth and width, of which only the equality counts.
SHAPE = (1, 1)


def naive_update_of(setting: Setting, given: Intervention) -> Callable[[int], None]:
    """Return an update as the published code makes it: six whole runs, and all logits of each."""
    batches, interchange = setting.exchanged(given, objective_of([*STANDARD, COUNTERFACTUAL]))
    assert interchange is not None
    optimizer = torch.optim.AdamW(setting.student.parameters(), lr=1e-5, fused=True)

    def update(entry: int) -> None:
        batch, [pair] = batch_of(batches, entry), interchange.alignment[entry]
        real = batch["attention_mask"].bool()
        with torch.no_grad():
            base, swapped = whole_runs(setting.teacher, batch, pair.teacher.blocks)
        own, own_swapped = whole_runs(setting.student, batch, pair.student.blocks)
        labels = torch.full_like(batch["input_ids"], -100).flatten()
        labels[batch["label_rows"]] = batch["labels"]
        hard = functional.cross_entropy(own.logits.flatten(0, 1), labels)
        states = [run.hidden_states[-1][real] for run in (own, base)]
        cosine = (1 - functional.cosine_similarity(*states)).mean()
        loss = dense_kl(own.logits, base.logits, real) + dense_kl(own_swapped.logits, swapped.logits, real)
        (0.25 * (loss + hard + cosine)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def whole_runs(model: Any, batch: Mapping[str, Any], blocks: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the outputs of a whole base run and of a whole run with the states of a whole source run."""
    exchange = batch[EXCHANGE]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    base = model(**inputs, output_hidden_states=True)
    layers = model.bert.encoder.layer if hasattr(model, "bert") else model.distilbert.transformer.layer
    read: dict[int, Tensor] = {}

    def keep(block: int, module: Any, args: Any, output: Tensor) -> None:
        read[block] = output

    def swap(block: int, module: Any, args: Any, output: Tensor) -> Tensor:
        rows = read[block].flatten(0, 1)[exchange["read"]]
        return output.flatten(0, 1).index_copy(0, exchange["write"], rows).view_as(output)

    source = {name: exchange["source"][name] for name in inputs}
    outputs = []
    for act, given in ((keep, source), (swap, inputs)):
        hooks = [layers[block].register_forward_hook(partial(act, block)) for block in blocks]
        outputs.append(model(**given, output_hidden_states=True))
        for hook in hooks:
            hook.remove()
    return base, outputs[1]


def dense_kl(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """Return the divergence of all logits at the real tokens."""
    ours = functional.log_softmax(student[real] / TEMPERATURE, dim=-1)
    theirs = functional.softmax(teacher[real] / TEMPERATURE, dim=-1)
    return functional.kl_div(ours, theirs, reduction="batchmean") * TEMPERATURE**2


def seconds_of(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the processor seconds of each side, turn by turn, after one uncounted turn."""
    sides: dict[str, list[Callable[[], None]]] = {}
    for depth in (3, 6, 9):
        setting, middle = setting_of(options, depth), Intervention("middle")
        unread = [*STANDARD, Weighted(KLLoss(), 0.0, run="counterfactual")]
        sides[f"standard {depth}"] = [partial(update_of(setting, STANDARD, middle), 0)]
        sides[f"unread {depth}"] = [partial(update_of(setting, unread, middle), 0)]
        for name in [name for name, own in ALIGNMENTS if own == depth]:
            update = update_of(setting, [*STANDARD, COUNTERFACTUAL], Intervention(name))
            entries = range(len(named_alignment(name, TEACHER_DEPTH, depth)))
            sides[f"{name} {depth}"] = [partial(update, entry) for entry in entries]
            if (name, depth) == NAIVE:
                sides["naive"] = [partial(naive_update_of(setting, Intervention(name)), 0)]
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.repeats + 1):
        for name, updates in sides.items():
            seconds = fmean(map(timed, updates))
            if turn:
                found[name].append(seconds)
    return found


def megabytes_of(options: argparse.Namespace) -> dict[str, float]:
    """Return the peak memory of processes that make one update of the middle alignment of 6 blocks."""
    given = [f"--{name}={getattr(options, name)}" for name in ("size", "width", "hidden")]
    found = {}
    for run in ("standard", "kdpipe", "naive"):
        command = [sys.executable, __file__, "--run", run, *given]
        found[run] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def one_update(options: argparse.Namespace) -> None:
    """Make one update, and print the peak of this process's memory in megabytes."""
    name, depth = NAIVE
    setting, given = setting_of(options, depth), Intervention(name)
    losses = STANDARD if options.run == "standard" else [*STANDARD, COUNTERFACTUAL]
    naive = options.run == "naive"
    update = naive_update_of(setting, given) if naive else update_of(setting, losses, given)
    update(0)
    # What `getrusage` returns contains the memory of the process that started this one.
    [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    print(int(peak.split()[1]) / 1000)


def timed(run: Callable[[], None]) -> float:
    """Return the processor seconds of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def arithmetic(options: argparse.Namespace, depth: int, pairs: list[Pair]) -> float:
    """Return the operations of an update with one of some pairs, over those of a standard update."""
    hidden = options.hidden
    block = 2 * 12 * hidden**2 + 4 * options.width * hidden
    head = 2 * hidden * (VOCABULARY + hidden)
    teacher, student = TEACHER_DEPTH * block + head, depth * block + head
    added = []
    for pair in pairs:
        theirs, ours = pair.teacher.blocks, pair.student.blocks
        run = (max(theirs) + 1 + TEACHER_DEPTH - min(theirs) - 1) * block + head
        added.append(run + 3 * ((max(ours) + 1 + depth - min(ours) - 1) * block + head))
    more: float = fmean(added) / (teacher + 3 * student)
    return 1 + more


def table(result: Mapping[str, Any], options: argparse.Namespace) -> str:
    """Return the numbers as tables."""
    seconds, megabytes = result["seconds"], result["megabytes"]

    def over(name: str, other: str) -> float:
        ratio: float = median(a / b for a, b in zip(seconds[name], seconds[other], strict=True))
        return ratio

    lines = [
        f"medians of {options.repeats}; batches of {options.size} x {options.width}, width {options.hidden}"
    ]
    lines += [f"{'alignment':12}{'seconds':>9}{'standard':>10}{'ratio':>7}{'arithmetic':>12}{'over it':>9}"]
    for name, depth in ALIGNMENTS:
        own, standard = f"{name} {depth}", f"standard {depth}"
        pairs = [entry[0] for entry in named_alignment(name, TEACHER_DEPTH, depth)]
        ratio, expected = over(own, standard), arithmetic(options, depth, pairs)
        lines.append(
            f"{own:12}{median(seconds[own]):9.2f}{median(seconds[standard]):10.2f}{ratio:7.2f}{expected:12.2f}"
            f"{ratio / expected:9.2f}"
        )
    lines += [f"over the arithmetic: at most {OVER_ARITHMETIC}"]
    naive = [f"{other} {over('naive', other):.2f}" for other in ("middle 6", "standard 6")]
    lines += [f"naive over {' and over '.join(naive)}"]
    lines += [
        f"no term that reads the run / standard, {d} blocks: {over(f'unread {d}', f'standard {d}'):.2f}"
        for d in (3, 6, 9)
    ]
    share = megabytes["kdpipe"] / megabytes["naive"]
    each = ", ".join(f"{name} {value:,.0f} MB" for name, value in megabytes.items())
    return "\n".join([*lines, f"peak memory: {each}; kdpipe / naive {share:.2f}, at most {OF_MEMORY}"])


if __name__ == "__main__":
    main()
