"""The tables of `benchmarks/distill.py`."""

from collections.abc import Iterator
from typing import Any

from benchmarks.distillation.sides import KDPIPE, TEXTBREWER, Outcome

# How many times as fast as TextBrewer kdpipe is to be, on a processor where bfloat16 is the faster precision.
TARGETS = {
    "four": {f"{TEXTBREWER}to 128": 5.0, f"{TEXTBREWER}per batch": 3.5},
    "eight": {f"{TEXTBREWER}to 128": 6.0, f"{TEXTBREWER}per batch": 4.0},
    "attention": {f"{TEXTBREWER}to 128": 6.0, f"{TEXTBREWER}per batch": 4.0},
}
# Where float32 is the faster one: share of the ratio of arithmetic.
OF_ARITHMETIC = 0.9
# Shares of products alone, of reading from memory, of bare passes forward.
OF_PRODUCTS, OF_MEMORY, OF_FORWARD = 0.6, 0.9, 0.9

Result = dict[str, Any]


def recipe_table(recipe: str, result: Result) -> str:
    """Return the numbers of a recipe: its sides in both precisions, and what follows from them."""
    lines = [f"Recipe {recipe}:"]
    for precision, sides in result["precisions"].items():
        lines.append(
            f"\n{precision:28}{'examples/s':>12}{'ten epochs':>12}{'kdpipe is':>11}{'peak MB':>10}"
            f"{'dev acc.':>10}  mean loss by quarter"
        )
        lines += [_row(name, outcome, sides[KDPIPE]) for name, outcome in sides.items()]
    return "\n".join([*lines, "", *_against(recipe, result), *_shares(result)])


def _row(side: str, outcome: Outcome, kdpipe: Outcome) -> str:
    """Return a side's line: speeds, kdpipe's speed as a multiple of them, memory, score, loss curve."""
    ratio = "" if side == KDPIPE else f"{kdpipe['ten_epochs'] / outcome['ten_epochs']:.1f} x"
    losses = outcome["losses"]
    quarters = [losses[i * len(losses) // 4 : (i + 1) * len(losses) // 4] for i in range(4)]
    means = [f"{sum(quarter) / len(quarter):.3f}" for quarter in quarters if quarter]
    return (
        f"{side:28}{outcome['steady']:12.1f}{outcome['ten_epochs']:12.1f}{ratio:>11}{outcome['peak_mb']:10.0f}"
        f"{outcome['scores']['accuracy']:10.3f}  {' '.join(means)}"
    )


def _against(recipe: str, result: Result) -> Iterator[str]:
    """Yield how kdpipe, in the precision that it chooses, stands to TextBrewer as it is, in float32."""
    chosen, precisions = result["chosen"], result["precisions"]
    kdpipe = precisions[chosen][KDPIPE]
    fastest = max(precisions, key=lambda name: float(precisions[name][KDPIPE]["ten_epochs"]))
    which = "faster" if chosen == fastest else "SLOWER"
    yield f"kdpipe trains in {chosen}, the {which} one; against TextBrewer as it is, in float32:"
    for side, arithmetic in result["arithmetic"].items():
        theirs = precisions["float32"][side]
        target = TARGETS[recipe][side] if chosen == "bfloat16" else OF_ARITHMETIC * arithmetic
        same = precisions["float32"][KDPIPE]["ten_epochs"] / theirs["ten_epochs"]
        yield (
            f"  {side}: {kdpipe['ten_epochs'] / theirs['ten_epochs']:.1f} x (target: at least {target:.1f}); "
            f"in float32 {same:.1f} x, of {arithmetic:.1f} x less arithmetic; "
            f"{kdpipe['peak_mb'] / theirs['peak_mb']:.2f} of its memory (target: at most 1)"
        )


def _shares(result: Result) -> Iterator[str]:
    """Yield how near kdpipe comes to what the machine can do."""
    speeds = result["operations"]
    share = speeds["useful"] / speeds["maps"]
    yield (
        f"  useful matrix products: {speeds['useful'] / 1e9:.0f} G operations/s, {share:.0%} of the "
        f"{speeds['maps'] / 1e9:.0f} that products of these shapes reach alone (target: at least "
        f"{OF_PRODUCTS:.0%}); one large product reaches {speeds['large'] / 1e9:.0f}"
    )
    cache = result["cache"]
    reading, building = cache["disk"] / cache["memory"], cache["built"] / cache["forward"]
    yield (
        f"  cache, examples/s: trained on from disk {cache['disk']:.1f}, from memory {cache['memory']:.1f}: "
        f"{reading:.2f} (target: at least {OF_MEMORY})"
    )
    yield (
        f"  cache, examples/s: built {cache['built']:.1f}, bare passes forward {cache['forward']:.1f}: "
        f"{building:.2f} (target: at least {OF_FORWARD})"
    )
