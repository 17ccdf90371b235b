"""Seeds of random draws: they depend on the seed of a run and the purpose of a draw, never on a name.

So nodes with the same seed see the same order of examples, the same masks and the same new head, whatever
else they draw.
"""

import hashlib

HEAD = "new head"
MASKING = "masking"
ORDER = "order"
DROPOUT = "dropout"
WEIGHTS = "weights"
PROJECTION = "projection"
IMPORTANCE = "importance"
AUGMENTATION = "augmentation"
# Numbers of a teacher's states that are kept.
KEPT = "kept numbers"
# Examples and runs, for confidence intervals.
RESAMPLING = "resampling"
# Of interchange interventions: sources, positions, tokens in context, and sites.
PAIRING = "pairing"
POSITIONS = "positions"
REPLACEMENT = "replacement"
ALIGNMENT = "alignment"


def draw_seed(seed: int, purpose: str, *parts: int) -> int:
    """Return the seed of a generator for a purpose.

    Args:
        seed: seed of the run.
        purpose: purpose of the draws, such as `ORDER`.
        parts: numbers that tell draws of a purpose apart, such as the epoch.
    """
    text = ":".join(map(str, (seed, purpose, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
