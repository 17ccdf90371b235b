"""Tokens are chosen by attention or from the left, and padding never."""

from typing import Any

import pytest
import torch
from torch import Tensor

from kdpipe.knowledge.tokens import ranked_places
from kdpipe.models.family import family_of
from kdpipe.signals.capture import Request, capture, ranking
from tests.models.conftest import PRUNABLE, batch_of, scattered, tiny
from tests.signals.test_attentions import eager
from tests.tolerance import assert_close

CLS, SEP, PAD = 2, 3, 0


def batch(*rows: list[int]) -> dict[str, Tensor]:
    length = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def chosen(weights: Any, texts: dict[str, Tensor], tokens: int | None, apart: tuple[int, ...] = ()) -> Any:
    """Return the positions of the chosen tokens of each text."""
    given = None if weights is None else torch.tensor(weights)
    places = ranked_places(given, texts, tokens, apart).tolist()
    length = texts["input_ids"].shape[1]
    return [
        [place % length for place in places if place // length == row]
        for row in range(len(texts["input_ids"]))
    ]


def test_the_tokens_with_the_largest_weights_come_first() -> None:
    texts = batch([CLS, 7, 8, 9, SEP])
    assert chosen([[0.2, 0.1, 0.3, 0.15, 0.25]], texts, 3) == [[2, 4, 0]]
    assert chosen([[0.2, 0.1, 0.3, 0.15, 0.25]], texts, 3, (SEP,)) == [[2, 0, 3]]


def test_padding_is_never_chosen_and_separators_only_when_nothing_else_is_left() -> None:
    texts = batch([CLS, 7, SEP, 8, SEP], [CLS, 9, SEP])
    weights = [[0.1, 0.2, 0.4, 0.1, 0.2], [0.2, 0.1, 0.7, 0.9, 0.9]]
    assert chosen(weights, texts, 4, (SEP,)) == [[1, 0, 3, 2], [0, 1, 2]]
    assert chosen(weights, texts, 9, (SEP,)) == [[1, 0, 3, 2, 4], [0, 1, 2]]
    assert chosen(weights, texts, None) == [[2, 1, 4, 0, 3], [2, 0, 1]]


def test_of_equal_tokens_the_first_is_better() -> None:
    assert chosen([[0.5, 0.5, 0.5, 0.5]], batch([CLS, 5, 6, SEP]), 2) == [[0, 1]]


def test_the_first_tokens() -> None:
    assert chosen(None, batch([CLS, 7, 8, SEP], [CLS, SEP]), 3) == [[0, 1, 2], [0, 1]]


def test_a_choice_does_not_depend_on_the_rest_of_the_batch() -> None:
    texts = batch([CLS, 7, SEP, 8, SEP], [CLS, 9, 9, SEP], [CLS, SEP])
    weights = torch.rand(3, 5, generator=torch.Generator().manual_seed(1)).tolist()
    whole = chosen(weights, texts, 2, (SEP,))
    for order in ([2, 0, 1], [1], [0, 2]):
        some = {name: tensor[order] for name, tensor in texts.items()}
        assert chosen([weights[row] for row in order], some, 2, (SEP,)) == [whole[row] for row in order]


@pytest.mark.parametrize("name", PRUNABLE)
def test_weights_are_the_mean_attention_of_the_token_that_stands_for_its_text(name: str) -> None:
    model, texts = scattered(tiny(name)), batch_of(7, 4, 1)
    attentions = eager(model, texts)
    with ranking(model, (1, 3), texts) as weights:
        capture(model, texts, Request(()))
        found = {layer: weights[layer]() for layer in (1, 3)}
    for layer, own in found.items():
        for row, length in enumerate(texts["attention_mask"].sum(1).tolist()):
            query = length - 1 if family_of(model).causal else 0
            expected = attentions[layer - 1][row, :, query].mean(0)
            assert_close(own[row, :length], expected[:length])
            assert (own[row, length:] == -torch.inf).all()


def test_scores_are_averaged_before_the_softmax() -> None:
    """So a head with large scores counts for more, as in the published code."""
    model, texts = scattered(tiny("bert")), batch_of(7, 4)
    orders = []
    for scores in (False, True):
        with ranking(model, (2,), texts, scores) as weights:
            capture(model, texts, Request(()))
            orders.append(weights[2]())
    query, key = (model.encoder.layer[1].attention.self.get_submodule(part) for part in ("query", "key"))
    states = model(
        **{name: texts[name] for name in ("input_ids", "attention_mask")}, output_hidden_states=True
    )
    state = states.hidden_states[1]
    left, right = (part(state).view(2, 7, 2, 8).transpose(1, 2) for part in (query, key))
    expected = (left[:, :, :1] @ right.transpose(-1, -2) / 8**0.5).mean((1, 2))
    real = texts["attention_mask"].bool()
    assert_close(orders[1][real], expected[real])
    assert not torch.equal(orders[0], orders[1])
