"""Attentions are stored by pair of real query and real key, and come back as they were."""

import torch

from kdpipe.anatomy.signals import Signal
from kdpipe.signals.formats import examples_of, unflattened
from kdpipe.signals.rows import Rows

ATTENTIONS = Signal("attentions", 1)
LENGTHS = (3, 1, 4)
HEADS, WIDTH = 2, 5


def attentions() -> Rows:
    """Return attentions of examples of different lengths, 0 at padding."""
    real = torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]
    values = torch.rand(sum(LENGTHS), HEADS, WIDTH)
    for queries in torch.split(values, LENGTHS):
        queries[..., len(queries) :] = 0
    return Rows(values, real.flatten().nonzero().flatten(), (len(LENGTHS), WIDTH), "tokens")


def stored_pairs(rows: Rows) -> torch.Tensor:
    """Return the pairs of all examples, one example after the other."""
    return torch.cat([pairs.flatten(0, 1) for pairs in examples_of(rows, ATTENTIONS)])


def test_stored_pairs_are_those_of_real_keys_query_by_query() -> None:
    rows = attentions()
    real_keys = rows.real[rows.examples]
    assert stored_pairs(rows).equal(rows.values.transpose(1, 2)[real_keys])


def test_stored_pairs_come_back_with_their_padding() -> None:
    rows = attentions()
    stored = Rows(stored_pairs(rows), rows.places, rows.size, "tokens")
    found = unflattened(stored, ATTENTIONS)
    assert found.values.equal(rows.values)
    assert found.places.equal(rows.places)
