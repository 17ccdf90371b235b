"""Time of `kdpipe check`, `kdpipe why` and a dry run of Snakemake on large configs, each in a new process.

    python benchmarks/check.py [--repeats N] [--json FILE]

A config is the product of tasks, seeds and student shapes. It has teachers, students with and without a
teacher, and the best student of each task and seed; every model of a task is scored. Seconds are the least of
the repeats, by the clock and of the processor.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

COMMANDS = Path(sys.executable).parent
SNAKEFILE = Path(__file__).parents[1] / "Snakefile"
BERT = {"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12}


class Case(NamedTuple):
    """A size of config, and the most seconds that each command may take."""

    tasks: int
    seeds: int
    shapes: int
    check: float | None
    why: float | None
    dry_run: float


class Seconds(NamedTuple):
    """The seconds of a command, by the clock and of the processor."""

    clock: float
    processor: float


CASES = (Case(5, 5, 9, check=1.0, why=5.0, dry_run=5.0), Case(8, 5, 20, check=None, why=None, dry_run=15.0))


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    results = [result for case in CASES for result in measure(case, options.repeats)]
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(case: Case, repeats: int) -> list[dict[str, Any]]:
    """Write a config of some size and time both commands on it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = write_config(folder, case)
        check = [COMMANDS / "kdpipe", "check", "--no-data", config]
        why = [COMMANDS / "kdpipe", "why", "best-task0-1", config]
        dry_run = [COMMANDS / "snakemake", "-s", SNAKEFILE, "--configfile", config, "--dry-run", "--quiet"]
        results = []
        timed = (("check", check, case.check), ("why", why, case.why), ("dry run", dry_run, case.dry_run))
        for what, command, target in timed:
            runs = [run(command, folder) for _ in range(repeats)]
            results.append(
                {
                    "command": what,
                    "models": count_models(case),
                    "clock_s": min(seconds.clock for seconds in runs),
                    "processor_s": min(seconds.processor for seconds in runs),
                    "target_s": target,
                }
            )
    return results


def run(command: list[Any], folder: Path) -> Seconds:
    """Return the seconds of a command, which must succeed."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    before, start = os.times(), time.perf_counter()
    subprocess.run(list(map(str, command)), cwd=folder, env=environment, check=True, capture_output=True)
    clock, after = time.perf_counter() - start, os.times()
    user = after.children_user - before.children_user
    return Seconds(clock, user + after.children_system - before.children_system)


def count_models(case: Case) -> int:
    """Return the number of models in the config of a case."""
    return 1 + case.shapes + case.tasks * case.seeds * (2 + 2 * case.shapes)


def write_config(folder: Path, case: Case) -> Path:
    """Write a config, and the files that a check reads of its first model."""
    (folder / "base").mkdir()
    # The file of weights has a hole for the numbers, which a check does not read.
    names, size = [f"encoder.layer.{number}.weight" for number in range(20)], 4 * 10**7
    places = {name: [place * size, (place + 1) * size] for place, name in enumerate(names)}
    tensors = {
        name: {"dtype": "F32", "shape": [10**7], "data_offsets": place} for name, place in places.items()
    }
    header = json.dumps(tensors).encode()
    weights = folder / "base" / "model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(weights, weights.stat().st_size + size * len(names))
    (folder / "base" / "config.json").write_text(json.dumps(BERT), encoding="utf-8")
    (folder / "base" / "tokenizer.json").write_text("{}", encoding="utf-8")
    config = folder / "config.json"
    config.write_text(json.dumps(make_config(case)), encoding="utf-8")
    return config


def make_config(case: Case) -> dict[str, Any]:
    """Return a config with every kind of reference, records and a free variable."""
    task = {"name": "SST-2", "epochs": 3, "lr": "5e-5"}
    training = {"num_train_epochs": "{task.epochs}", "learning_rate": "{task.lr}"}
    trained = {"dataset": "{task}", "seed": "{seed}", "training": training}
    losses = [
        {"loss": "soft_cross_entropy", "temperature": "{shape.temperature}"},
        {"loss": "hidden_mse", "layers": "spaced", "weight": 3},
    ]
    teacher, student, best = "teacher-{task}-{seed}", "student-{task}-{seed}-{shape}", "best-{task}-{seed}"
    return {
        "matrix": {
            "task": {f"task{i}": task for i in range(case.tasks)},
            "seed": list(range(1, case.seeds + 1)),
            "shape": {f"s{i}": {"depth": i % 11 + 2, "temperature": i + 1} for i in range(case.shapes)},
        },
        "datasets": {"{task}": {"source": "glue", "name": "{task.name}", "path": "glue/{task}"}},
        "defaults": {"finetune": {"training": {"per_device_train_batch_size": 32}}},
        "models": {
            "base": {"load": {"path": "base"}},
            teacher: {"finetune": {"model": "base", **trained}},
            "init-{shape}": {"extract": {"model": "base", "layers": "first:{shape.depth}"}},
            student: {
                "distill": {"teacher": teacher, "student": "init-{shape}", "losses": losses, **trained}
            },
            "plain-{task}-{seed}-{shape}": {"finetune": {"model": "init-{shape}", **trained}},
            best: {"select": {"among": [student], "dataset": "{task}"}},
        },
        "report": {"baseline": teacher},
    }


def table(results: list[dict[str, Any]]) -> str:
    """Return the numbers as a table."""
    lines = [f"{'':10}{'models':>8}{'clock s':>10}{'processor s':>13}{'at most s':>11}"]
    for result in results:
        target = f"{result['target_s']:.0f}" if result["target_s"] else "-"
        lines.append(
            f"{result['command']:10}{result['models']:8}{result['clock_s']:10.2f}"
            f"{result['processor_s']:13.2f}{target:>11}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
