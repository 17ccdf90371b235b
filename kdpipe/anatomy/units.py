"""How many heads and neurons a model has lost, as far as a config shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# What is told of a shape's units is called as the shape calls their number in a block.
UNIT_KINDS = ("heads", "neurons")


@dataclass(frozen=True)
class Units:
    """The heads of a model, or its neurons.

    Args:
        whole: how many its unpruned ancestor has; None where only its files will tell, and of a model that is
            its own.
        gone: the share of these that it lacks at least; None where only its files will tell.
    """

    whole: int | None = None
    gone: float | None = 0.0

    @property
    def left(self) -> int | None:
        """How many there are at most."""
        return None if self.whole is None else self.whole - count_removed(self.gone or 0.0, self.whole)

    def removed_by(self, sparsity: float) -> float:
        """Return how many more a sparsity removes, or what share; below 0 it would bring some back."""
        gone = self.gone or 0.0
        if self.whole is None:
            return sparsity - gone
        return count_removed(sparsity, self.whole) - count_removed(gone, self.whole)

    def at_most(self, count: int | None) -> "Units":
        """Return what is known of them where no more than so many are left."""
        if count is None or self.whole is None:
            return self
        return replace(self, gone=max(self.gone or 0.0, 1 - count / self.whole))


def recorded_units(config: Mapping[str, Any]) -> dict[str, Units]:
    """Return what the config of a saved model says of its units and its unpruned ancestor's units."""
    counts, whole = config.get("unit_counts"), config.get("ancestor_counts")
    if not counts or not whole:
        return dict.fromkeys(UNIT_KINDS, Units(gone=None if counts else 0.0))
    return {f"{kind}s": Units(total, gone=1 - sum(counts[kind]) / total) for kind, total in whole.items()}


def count_removed(sparsity: float, total: int) -> int:
    """Return how many units of the unpruned ancestor a sparsity removes, halves rounded to even."""
    return round(sparsity * total)


def leaves_fewer(sparsity: float, units: Mapping[str, Units]) -> bool:
    """Tell whether a sparsity makes a model smaller: it removes some units, and brings none back."""
    return leaves_no_more(sparsity, units) and max(each.removed_by(sparsity) for each in units.values()) > 0


def leaves_no_more(sparsity: float, units: Mapping[str, Units]) -> bool:
    """Tell whether a sparsity brings no units back."""
    return min(each.removed_by(sparsity) for each in units.values()) >= 0


def fewest_gone(candidates: Sequence[Units]) -> Units:
    """Return what holds of any of several models' heads or neurons."""
    whole = {candidate.whole for candidate in candidates}
    gone = [candidate.gone for candidate in candidates if candidate.gone is not None]
    return Units(
        whole=whole.pop() if len(whole) == 1 else None,
        gone=min(gone) if len(gone) == len(candidates) else None,
    )
