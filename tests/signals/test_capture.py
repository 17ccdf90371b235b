"""Models give just the outputs that are asked for, and the right ones."""

from pathlib import Path

import pytest
import torch

from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.extraction import extract_as
from kdpipe.models.loading import load_model
from kdpipe.signals.capture import SPANS, Request, recording, run_model
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


def reference(model):
    return model(IDS, attention_mask=BATCH["attention_mask"], output_hidden_states=True)


def test_logits_are_those_of_the_positions_asked_for(model) -> None:
    logits = run_model(model, BATCH, Request(rows="label_rows")).logits
    expected = reference(model).logits.flatten(0, 1)[[1, 5]]
    assert logits is not None
    assert_close(logits, expected)


def test_states_are_those_that_transformers_returns(model) -> None:
    depth = model.config.num_hidden_layers
    states = run_model(model, BATCH, Request(logits=False, hidden_states=(0, depth))).hidden_states
    expected = reference(model).hidden_states
    assert sorted(states) == [0, depth]
    for state, value in states.items():
        assert_close(value, expected[state])


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
    with recording(model, tuple(range(4))) as states:
        output = model(**inputs, output_hidden_states=True)
    for state, value in states.items():
        assert value.equal(output.hidden_states[state]), state
    assert output.last_hidden_state.equal(states[3])


def test_no_hook_stays(model) -> None:
    run_model(model, BATCH, Request(hidden_states=(1, model.config.num_hidden_layers), rows="token_rows"))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_classifier_gives_one_row_per_example(classifier: Path) -> None:
    model = load_model(classifier).eval()
    signals = run_model(model, BATCH, Request(hidden_states=(4,)))
    assert signals.logits is not None
    assert signals.logits.shape == (2, 2)
    assert signals.hidden_states[4].shape == (2, 4, 16)


def test_question_answering_gives_starts_and_ends_in_turns(reader: Path) -> None:
    model = load_model(reader).eval()
    logits = run_model(model, BATCH, Request(hidden_states=(4,), rows=SPANS)).logits
    expected = model(IDS, attention_mask=BATCH["attention_mask"])
    assert logits is not None
    assert logits.shape == (4, 4)
    assert_close(logits[0::2][IDS != 0], expected.start_logits[IDS != 0])
    assert_close(logits[1::2][IDS != 0], expected.end_logits[IDS != 0])
    assert logits[2:, 3].isneginf().all()
    assert logits.isneginf().sum() == 2
