"""Speed of distillation, beside PyPI's TextBrewer: the same models, data, batch size and losses.

    python benchmarks/distill.py [--config FILE] [--steps N] [--json FILE]   # extras: bench, offline

The config says the setting: MRPC, a 6-layer teacher that is 384 wide, a student of 3 of its layers, soft
cross-entropy and four hidden matches, batches of 32. The workflow first makes teacher, student and data. Then
each side trains for one epoch, or for `--steps`, in its own interpreter. Its examples/s are scaled to ten
epochs; kdpipe's side also counts the time to build its cache. In the bfloat16 column TextBrewer also trains
under autocast, though it has no such option.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from kdpipe.data.encoded import EncodedSplit
from kdpipe.models.precision import choose_precision

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE = 32
EPOCHS = 10
# Uncounted steps at the start, which warm caches and allocators.
WARM_UP = 5
TEXTBREWER = "TextBrewer, padded "
SIDES = {
    "kdpipe": ("kdpipe_side", []),
    f"{TEXTBREWER}to 128": ("textbrewer_side", ["--padding", "max_length"]),
    f"{TEXTBREWER}per batch": ("textbrewer_side", ["--padding", "longest"]),
}
TARGETS = {f"{TEXTBREWER}to 128": 5.0, f"{TEXTBREWER}per batch": 3.5}

Outcome = dict[str, Any]


def main() -> None:
    """Make the models, run the sides in both precisions, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "minilm-mrpc.yaml")
    parser.add_argument("--steps", type=int, help="steps of each side (default: one epoch)")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    folders = make_inputs(options.config)
    examples = len(EncodedSplit(folders["data"], "train"))
    steps = options.steps or examples // BATCH_SIZE
    result = {
        precision: {side: scale(run_side(side, folders, steps, precision), examples) for side in SIDES}
        for precision in ("float32", "bfloat16")
    }
    print(table(result, steps))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def make_inputs(config: Path) -> dict[str, Path]:
    """Let the workflow make teacher, student and data, and return their folders."""
    results = Path(yaml.safe_load(config.read_text(encoding="utf-8"))["results"])
    inputs = {"teacher": "models/teacher-1", "student": "models/three-layers", "data": "data/task/minilm"}
    folders = {role: results / place for role, place in inputs.items()}
    workflow = ["snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", config, "--cores", "all"]
    targets = [folder / "SHA256SUMS" for folder in folders.values()]
    command = [sys.executable, "-m", *map(str, [*workflow, "--", *targets])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {role: folder.resolve() for role, folder in folders.items()}


def run_side(side: str, folders: dict[str, Path], steps: int, precision: str) -> Outcome:
    """Run one side in a new interpreter, and return its output."""
    module, extra = SIDES[side]
    arguments = [f"--{role}={folder}" for role, folder in folders.items()]
    bf16 = ["--bf16"] if precision == "bfloat16" else []
    name = f"benchmarks.distillation.{module}"
    command = [sys.executable, "-m", name, *arguments, f"--steps={steps}", *bf16, *extra]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    outcome: Outcome = json.loads(done.stdout.splitlines()[-1])
    return outcome


def scale(outcome: Outcome, examples: int) -> Outcome:
    """Add examples/s in the steady state, and over ten epochs with the cache."""
    counted = outcome["step_s"][WARM_UP:]
    steady = BATCH_SIZE * len(counted) / sum(counted)
    total = EPOCHS * examples
    return {**outcome, "steady": steady, "ten_epochs": total / (total / steady + outcome["cache_s"])}


def table(result: dict[str, dict[str, Outcome]], steps: int) -> str:
    """Return the numbers as a table, and whether kdpipe chooses the faster precision."""
    chosen = choose_precision({})
    speeds = {precision: sides["kdpipe"]["ten_epochs"] for precision, sides in result.items()}
    which = "faster" if speeds[chosen.name] == max(speeds.values()) else "SLOWER"
    lines = [f"{steps} steps of {BATCH_SIZE} examples a side, scaled to ten epochs; the cache timed whole"]
    for precision, sides in result.items():
        lines.append(
            f"\n{precision:28}{'examples/s':>12}{'ten epochs':>12}{'kdpipe is':>11}{'dev acc.':>10}"
            "  mean loss by quarter"
        )
        lines += [row(side, outcome, sides["kdpipe"]) for side, outcome in sides.items()]
    lines.append(f"\nkdpipe trains in {chosen}, the {which} one; against TextBrewer as it is, in float32:")
    for side, target in TARGETS.items():
        ratio = speeds[chosen.name] / result["float32"][side]["ten_epochs"]
        lines.append(f"{side:28}{ratio:10.1f} x (target: at least {target})")
    return "\n".join(lines)


def row(side: str, outcome: Outcome, kdpipe: Outcome) -> str:
    """Return a side's line: its speeds, kdpipe's speed as a multiple of them, its score, its loss curve."""
    ratio = f"{kdpipe['ten_epochs'] / outcome['ten_epochs']:.1f} x" if side in TARGETS else ""
    losses = outcome["losses"]
    quarters = [losses[i * len(losses) // 4 : (i + 1) * len(losses) // 4] for i in range(4)]
    return (
        f"{side:28}{outcome['steady']:12.1f}{outcome['ten_epochs']:12.1f}{ratio:>11}"
        f"{outcome['scores']['accuracy']:10.3f}  {' '.join(f'{sum(q) / len(q):.3f}' for q in quarters)}"
    )


if __name__ == "__main__":
    main()
