"""Speed and memory of distillation, beside PyPI's TextBrewer: the same models, data, batch size and losses.

    python benchmarks/distill.py [--config FILE] [--recipe NAME …] [--steps N] [--rounds N]
        [--json FILE]

It needs the extras `bench` and `offline`. The config says the setting: MRPC, a 6-layer teacher that is 384
wide, a student of 3 of its layers, batches of 32. The workflow first makes teacher, student and data. A
recipe is soft cross-entropy with four hidden matches (`four`), with four more matches of the similarities of
tokens (`eight`), or with three attention matches (`attention`). Each side trains for one epoch, or for
`--steps`, in its own interpreter. On a machine whose speed changes, the sides take turns in several
`--rounds`, whose steps count together. The examples/s are scaled to ten epochs; kdpipe's side also counts
the time to build its cache, and reads the cache from disk. In the bfloat16 column TextBrewer also trains
under autocast, though it has no such option.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.distillation import arithmetic, products
from benchmarks.distillation.setting import BATCH_SIZE, RECIPES
from benchmarks.distillation.sides import KDPIPE, ROOT, WARM_UP, Runs, Side, trainings
from benchmarks.distillation.tables import recipe_table
from kdpipe.data.encoded import EncodedSplit
from kdpipe.models.precision import choose_precision


def main() -> None:
    """Make the models, run the recipes, print a table of each and write JSON."""
    options = parse_arguments()
    folders = make_inputs(options.config)
    examples = len(EncodedSplit(folders["data"], "train"))
    steps = options.steps or examples // BATCH_SIZE
    print(
        f"{options.rounds} x {steps} steps of {BATCH_SIZE} examples a side, scaled to ten epochs; "
        "the cache timed whole"
    )
    result = {}
    for recipe in options.recipe:
        with TemporaryDirectory() as scratch:
            result[recipe] = measure(Runs(folders, examples, steps, recipe, Path(scratch)), options.rounds)
        print(f"\n{recipe_table(recipe, result[recipe])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "minilm-mrpc.yaml")
    parser.add_argument("--recipe", nargs="+", choices=RECIPES, default=[*RECIPES])
    parser.add_argument("--steps", type=int, help="steps of each side (default: one epoch)")
    parser.add_argument("--rounds", type=int, default=1, help="how often the sides take turns (default: 1)")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    # TextBrewer does not tell when its last step ends.
    if options.steps is not None and options.steps < WARM_UP + 2:
        parser.error(f"--steps: expected at least {WARM_UP + 2}, as {WARM_UP} are not counted")
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, found {options.rounds}")
    return options


def measure(runs: Runs, rounds: int) -> dict[str, Any]:
    """Run the sides of a recipe in both precisions, and the parts of kdpipe's side in one."""
    chosen = choose_precision({}).name
    computed = arithmetic.count(runs.folders)
    sides = {precision: trainings(precision) for precision in ("float32", "bfloat16")}
    in_memory = Side("kdpipe_side", ("--in-memory",), chosen)
    forward = Side("forward_side", (), chosen)
    trained = [side for of_precision in sides.values() for side in of_precision.values()]
    # What is compared with kdpipe's own parts runs right after it.
    after = trained.index(sides[chosen][KDPIPE]) + 1
    outcomes = runs.in_turns([*trained[:after], forward, in_memory, *trained[after:]], rounds)
    precisions = {
        precision: {name: runs.together(outcomes[side]) for name, side in of_precision.items()}
        for precision, of_precision in sides.items()
    }
    ours = precisions[chosen][KDPIPE]
    return {
        "chosen": chosen,
        "precisions": precisions,
        "arithmetic": computed.ratios,
        "operations": {
            "useful": computed.useful * ours["steady"],
            "maps": products.speed_of_maps(computed.rows, computed.maps, chosen),
            "large": products.speed_of_large(chosen),
        },
        "cache": {
            "disk": ours["steady"],
            "memory": runs.together(outcomes[in_memory])["steady"],
            "built": runs.examples / ours["cache_s"],
            "forward": runs.examples / median(outcome["seconds"] for outcome in outcomes[forward]),
        },
    }


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


if __name__ == "__main__":
    main()
