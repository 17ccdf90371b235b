from dataclasses import replace

import pytest

from kdpipe.anatomy.signals import LOGITS, SIGNAL_KINDS, Signal, first_layer, token_bytes

SHAPE = {"width": 100, "heads": 4}


@pytest.mark.parametrize(
    "signal",
    [
        LOGITS,
        Signal("hidden_states", 0),
        Signal("attentions", 12),
        Signal("module", "encoder.layer.2"),
        Signal("top_logits", 50),
    ],
)
def test_a_signal_is_read_as_it_is_written(signal):
    assert Signal.parse(str(signal)) == signal


def test_signals_are_written_as_kind_and_place():
    written = [str(signal) for signal in sorted((Signal("keys", 10), LOGITS, Signal("keys", 9)))]
    assert written == ["keys.9", "keys.10", "logits"]


@pytest.mark.parametrize(("kind", "places"), [
    ("logits", (None,)),
    ("hidden_states", (0, 1, 2)),
    ("attentions", (1, 2)),
    ("queries", (1, 2)),
    ("keys", (1, 2)),
    ("values", (1, 2)),
    ("module", ()),
    ("top_logits", ()),
    ("top_entries", ()),
])  # fmt: skip
def test_the_places_that_a_depth_has(kind, places):
    assert SIGNAL_KINDS[kind].places(2) == places


def test_every_kind_has_its_places_tested():
    assert len(SIGNAL_KINDS) == 9


def test_what_a_token_costs():
    assert token_bytes([Signal("hidden_states", 0), Signal("values", 1)], SHAPE, 32, "float16") == 400
    assert token_bytes([Signal("attentions", 1)], SHAPE, 32, "float16") == 4 * 32 * 2
    assert token_bytes([Signal("top_logits", 50), Signal("top_entries", 50)], SHAPE, 32, "float16") == 404
    assert token_bytes([LOGITS], SHAPE, 32, "float16") == token_bytes([LOGITS], SHAPE, 32, "float32") == 8


def test_what_is_read_together_is_of_the_layers_that_all_kinds_have():
    assert first_layer(["hidden_states"]) == 0
    assert first_layer(["hidden_states", "values"]) == 1


def test_what_goes_by_tokens_needs_equal_tokenizers():
    unaligned = [kind for kind, known in SIGNAL_KINDS.items() if not known.aligned]
    assert unaligned == ["logits", "top_logits", "top_entries"]
    assert replace(SIGNAL_KINDS["logits"], rows="tokens").aligned
