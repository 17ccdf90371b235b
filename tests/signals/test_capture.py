"""Models give the requested signals with the right values, and no other signals."""

from pathlib import Path

import pytest
import torch

from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.extraction import extract_as
from kdpipe.models.loading import load_model
from kdpipe.signals.capture import Request, capture, recording
from kdpipe.signals.rows import pack
from tests.models.conftest import SHAPES, tiny
from tests.tolerance import assert_close

IDS = torch.tensor([[2, 9, 17, 3], [2, 30, 3, 0]])
BATCH = {
    "input_ids": IDS,
    "attention_mask": (IDS != 0).long(),
    "token_rows": torch.tensor([0, 1, 2, 3, 4, 5, 6]),
    "label_rows": torch.tensor([1, 5]),
}


@pytest.fixture(params=["bert", "distilbert"])
def model(request: pytest.FixtureRequest, language_model: Path):
    loaded = load_model(language_model)
    if request.param == "distilbert":
        loaded = extract_as("distilbert", loaded, [0, 1], seed=0)
    return loaded.eval()


def states(*places: int) -> tuple[Signal, ...]:
    return tuple(Signal("hidden_states", place) for place in places)


def reference(model):
    return model(IDS, attention_mask=BATCH["attention_mask"], output_hidden_states=True)


def test_logits_are_those_of_the_positions_asked_for(model) -> None:
    logits = capture(model, BATCH, Request(positions="labelled"))[LOGITS].values
    expected = reference(model).logits.flatten(0, 1)[[1, 5]]
    assert_close(logits, expected)


def test_states_are_those_that_transformers_returns(model) -> None:
    depth = model.config.num_hidden_layers
    wanted = states(0, depth)
    found = capture(model, BATCH, Request(wanted))
    expected = reference(model).hidden_states
    assert (*found,) == wanted
    for signal, rows in found.items():
        assert_close(rows.values, pack(expected[signal.place], BATCH["token_rows"]))


@pytest.mark.parametrize("fast", [False, True], ids=["stock dropout", "fast dropout"])
# A BiGRU, which is none of transformers, returns no states.
@pytest.mark.parametrize("name", sorted(set(SHAPES) - {"bigru"}))
def test_in_training_states_have_the_dropout_of_those_that_transformers_returns(
    name: str, fast: bool
) -> None:
    model = tiny(name).train()
    if fast:
        use_fast_dropout(model)
    inputs = {key: BATCH[key] for key in ("input_ids", "attention_mask")}
    wanted = states(*range(4))
    with recording(model, wanted, BATCH) as found:
        output = model(**inputs, output_hidden_states=True)
    for signal, value in found.items():
        assert value().equal(output.hidden_states[signal.place]), signal
    assert output.last_hidden_state.equal(found[wanted[-1]]())


def test_no_hook_stays(model) -> None:
    layers = [Signal(kind, 1) for kind in ("attentions", "queries", "keys", "values")]
    last = model.config.num_hidden_layers
    capture(model, BATCH, Request((LOGITS, *states(1, last), *layers), "tokens"))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_classifier_gives_one_row_per_example(classifier: Path) -> None:
    model = load_model(classifier).eval()
    signals = capture(model, BATCH, Request((LOGITS, *states(4))))
    assert signals[LOGITS].values.shape == (2, 2)
    assert signals[Signal("hidden_states", 4)].values.shape == (7, 16)


def test_question_answering_gives_starts_and_ends_in_turns(reader: Path) -> None:
    model = load_model(reader).eval()
    rows = capture(model, BATCH, Request((LOGITS, *states(4)), "spans"))[LOGITS]
    assert rows.values.shape == (7, 2)
    logits = rows.at("spans", BATCH).values
    expected = model(IDS, attention_mask=BATCH["attention_mask"])
    assert logits.shape == (4, 4)
    assert_close(logits[0::2][IDS != 0], expected.start_logits[IDS != 0])
    assert_close(logits[1::2][IDS != 0], expected.end_logits[IDS != 0])
    assert logits[2:, 3].isneginf().all()
    assert logits.isneginf().sum() == 2
