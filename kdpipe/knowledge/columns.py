"""The columns of a file that has a part of a teacher's states, and what their metadata tell."""

from collections.abc import Sequence

from kdpipe.anatomy.knowledge import Share

# What a column holds: rows; the numbers that are kept of them, one after the other; which numbers these are,
# as bits; or the positions of tokens.
ROWS, NUMBERS, BITS, PLACES = "rows", "numbers", "bits", "places"
# Metadata of a column: how states were taken, which columns of a state its rows have, and what was taken.
WAYS, COLUMNS, SHARES = "ways", "columns", "shares"


def most_tokens(shares: Sequence[Share]) -> int | None:
    """Return how many tokens of an example are stored; None for all."""
    counts = [share.tokens for share in shares]
    return None if None in counts else max(filter(None, counts))
