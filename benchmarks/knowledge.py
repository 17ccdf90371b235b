"""Speed of a student that learns a part of its teacher's states, from a cache and with the teacher beside it.

    python benchmarks/knowledge.py [--size N] [--width N] [--repeats N] [--amount 1l_10t_0.1h] [--json FILE]

The teacher is a BERT-base with random weights; the students have the shapes of ROSITA (6 layers, 2 heads, 768
neurons, embeddings of rank 128) and TinyBERT (4 layers, 312 wide). The sides take turns in one process, in
float32 and on one thread. A step is a batch and an update. As published, the whole teacher runs for it;
online, the teacher runs as far as its states are read; offline, these are read from the mapped file. The
arithmetic of a side counts its products of matrices; a pass backward costs two forward.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from kdpipe.anatomy.knowledge import Amount, Selection
from kdpipe.anatomy.layers import match_layers, parts
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.knowledge.choosing import ChoosingTeacher
from kdpipe.knowledge.stored import SelectedKnowledge
from kdpipe.knowledge.storing import StoringTeacher
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.models.creation import create_body
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.pruned import factorize, prune_units
from kdpipe.models.units import UNITS
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import SIGNALS
from kdpipe.signals.capture import TEACHER, Signals
from kdpipe.training.learner import Learner
from kdpipe.training.objective import Objective
from kdpipe.training.projection import Projection
from kdpipe.training.terms import Weighted, build_objective

VOCABULARY, DEPTH, WIDTH, NEURONS = 30_522, 12, 768, 3072
# Of the embeddings of a pruned student.
RANK = 128
OF_BOUND, WAITING = 0.75, 0.03
EPOCHS = 10


@dataclass(frozen=True)
class Shape:
    """The shape of a student, all of whose blocks are alike.

    Args:
        depth: blocks.
        width: numbers of a state.
        heads: numbers of all heads of a block together.
        neurons: neurons of a block.
        layers: the map to the teacher's layers.
    """

    depth: int
    width: int
    heads: int
    neurons: int
    layers: str = "t_top8"


SHAPES = {"ROSITA": Shape(6, 768, 128, 768), "TinyBERT": Shape(4, 312, 312, 1200)}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="sequences of a batch")
    parser.add_argument("--width", type=int, default=128, help="tokens of a sequence")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--amount", default="1l_10t_0.1h")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: seconds_of(shape, options) for name, shape in SHAPES.items()}
    print(table(found, options))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def teacher_of(options: argparse.Namespace) -> Any:
    """Return a BERT-base with random weights."""
    shape = {"hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": 12}
    positions = {"max_position_embeddings": options.width}
    return create_body("bert", {**shape, **positions, "intermediate_size": NEURONS}, VOCABULARY, 1).eval()


def student_of(shape: Shape, options: argparse.Namespace) -> Any:
    """Return a student with random weights."""
    config = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": 12,
        "intermediate_size": shape.neurons,
        "max_position_embeddings": options.width,
    }
    student = create_body("bert", config, VOCABULARY, 2)
    if shape.heads < shape.width:
        kept = {"head": torch.arange(12 * shape.heads // shape.width), "neuron": torch.arange(shape.neurons)}
        whole = {"head": torch.arange(12), "neuron": torch.arange(shape.neurons)}
        units = {kind: [kept[kind]] * shape.depth for kind in UNITS}
        student = prune_units(student, units, {kind: [whole[kind]] * shape.depth for kind in UNITS})
        student = factorize(student, RANK)
    use_fast_dropout(student)
    return student.train()


def rows_of(options: argparse.Namespace) -> EncodedSplit:
    """Return a batch of random tokens."""
    rng = np.random.default_rng(1)
    ids = rng.integers(1000, VOCABULARY, (options.size, options.width), dtype=np.int32)
    rows = {
        "id": [str(row) for row in range(options.size)],
        "input_ids": pa.array([*ids]),
        "length": pa.array([options.width] * options.size, pa.int32()),
    }
    return EncodedSplit.of_rows([pa.RecordBatch.from_pydict(rows)], "classification")


def updating(student: Any, objective: Objective) -> Callable[[dict[str, Any], Mapping[Any, Signals]], None]:
    """Return an update of a student."""
    learner = Learner(student, {"": objective}, {"": None})
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-5, fused=True)

    def update(batch: dict[str, Any], signals: Mapping[Any, Signals]) -> None:
        scales = {term.name: 1.0 / batch["counts"][term.averaged_over] for term in objective.terms}
        loss, _ = learner(batch, signals, scales)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return update


def seconds_of(shape: Shape, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the processor seconds of a step of each side, and of reading alone, turn by turn."""
    teacher, student, split = teacher_of(options), student_of(shape, options), rows_of(options)
    selection = Selection(Amount.parse(options.amount))
    projection = Projection(shared=True) if shape.width != WIDTH else None
    loss = Weighted(HiddenMSELoss(), layers=shape.layers, over_pairs="sum", projection=projection)
    sides = {"teacher": (DEPTH, WIDTH)}, (shape.depth, shape.width)
    objective = build_objective([loss], Classification, *sides, seed=1, selection=selection)
    request, every = objective.teachers[TEACHER], range(options.size)
    update = updating(student, objective)
    plain = Collator(split, 0, tokens=objective.tokens)
    beside = ChoosingTeacher(teacher, request, selection)
    with TemporaryDirectory() as folder:
        path = Path(folder) / SIGNALS
        shares = dict.fromkeys(request.signals, (selection.share,))
        storing = StoringTeacher(teacher, request, selection, (), "float16", shares)
        write_knowledge(path, storing, plain, "float16", torch.device("cpu"), batch_size=options.size)
        stored = SelectedKnowledge(path, split, selection, request)
        cached = Collator(split, 0, knowledge={TEACHER: stored}, tokens=objective.tokens)

        @torch.no_grad()
        def run_whole(batch: Mapping[str, Any]) -> None:
            teacher(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])

        def published() -> None:
            batch = cached(every)
            run_whole(batch)
            update(batch, batch["signals"])

        def online() -> None:
            batch = plain(every)
            update(batch, {TEACHER: beside(batch)})

        def offline() -> None:
            batch = cached(every)
            update(batch, batch["signals"])

        turns: dict[str, Callable[[], Any]] = {
            "published": published,
            "online": online,
            "offline": offline,
            "reading": lambda: cached(every),
        }
        found: dict[str, list[float]] = {name: [] for name in turns}
        for turn in range(options.repeats + 1):
            for name, run in turns.items():
                start = time.process_time()
                run()
                if turn:
                    found[name].append(time.process_time() - start)
    return found


def arithmetic(shape: Shape, width: int) -> dict[str, float]:
    """Return the operations of a token: of the teacher, whole or as far as it is read, and of an update."""
    block = 2 * (4 * WIDTH**2 + 2 * WIDTH * NEURONS) + 4 * width * WIDTH
    products = 4 * shape.width * shape.heads + 2 * shape.width * shape.neurons
    last = max(int(max(parts(theirs))) for theirs, _ in match_layers(shape.layers, DEPTH, shape.depth, 0))
    update = 3 * shape.depth * (2 * products + 4 * width * shape.heads)
    return {"published": DEPTH * block, "online": last * block, "offline": update}


def table(found: Mapping[str, Mapping[str, list[float]]], options: argparse.Namespace) -> str:
    """Return the numbers as a table."""
    lines = [f"medians of {options.repeats}; batches of {options.size} x {options.width}, {options.amount}"]
    lines += [
        f"{'student':10}{'against':>10}{'seconds':>9}{'offline':>9}{'ratio':>7}{'bound':>7}{'of it':>7}"
        f"{f'{EPOCHS} epochs':>11}{'bound':>7}{'reading':>9}"
    ]
    for name, seconds in found.items():
        costs = arithmetic(SHAPES[name], options.width)
        for side in ("published", "online"):
            lines += [f"{name:10}{side:>10}{_compared(seconds, costs, side)}"]
    return "\n".join([*lines, f"of the bound: at least {OF_BOUND}; reading: at most {WAITING:.0%} of a step"])


def _compared(seconds: Mapping[str, list[float]], costs: Mapping[str, float], side: str) -> str:
    """Return a step of a side against a step offline, and the same with the cache, over some epochs."""
    own, online, offline, reading = (median(seconds[name]) for name in (side, "online", "offline", "reading"))
    ratio = median(a / b for a, b in zip(seconds[side], seconds["offline"], strict=True))
    bound = (costs[side] + costs["offline"]) / costs["offline"]
    # The cache takes one pass of the teacher, as far as it is read; the side takes a pass in every epoch.
    amortised = EPOCHS * own / (online - offline + EPOCHS * offline)
    least = EPOCHS * (costs[side] + costs["offline"]) / (costs["online"] + EPOCHS * costs["offline"])
    return (
        f"{own:9.2f}{offline:9.2f}{ratio:7.2f}{bound:7.2f}{ratio / bound:7.2f}"
        f"{amortised:11.2f}{least:7.2f}{reading / offline:9.1%}"
    )


if __name__ == "__main__":
    main()
