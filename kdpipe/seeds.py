"""Seeds of random draws: from the seed of a run and the purpose of the draw, never from a name.

Nodes that are compared share a seed, and so see the same order of examples, the same masks and the same new
head, whatever else they draw.
"""

import hashlib

HEAD = "new head"
MASKING = "masking"
ORDER = "order"
DROPOUT = "dropout"
WEIGHTS = "weights"
PROJECTION = "projection"
IMPORTANCE = "importance"


def draw_seed(seed: int, purpose: str, *parts: int) -> int:
    """Return the seed of a generator for one purpose.

    Args:
        seed: seed of the run.
        purpose: what is drawn, such as `ORDER`.
        parts: what distinguishes draws of one purpose, such as the epoch.
    """
    text = ":".join(map(str, (seed, purpose, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
