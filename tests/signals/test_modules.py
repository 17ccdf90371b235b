"""Outputs of named modules: what a capture gives of them, what is refused, and no hook that stays."""

import re

import pytest
import torch
from torch import nn

from kdpipe.anatomy.signals import Signal
from kdpipe.errors import ModelError
from kdpipe.signals.capture import Request, capture
from kdpipe.signals.modules import check_modules
from tests.models.conftest import batch_of, tiny


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def module(name: str) -> Signal:
    return Signal.at("hidden_states", name)


def test_a_module_is_found_by_its_name_in_the_body() -> None:
    model, batch = tiny("bert"), batch_of(5, 3)
    block, inner, last = module("encoder.layer.2"), module("encoder.layer.0.intermediate"), 3
    found = capture(model, batch, Request((block, inner, Signal("hidden_states", last))))
    assert found[block].values.equal(found[Signal("hidden_states", last)].values)
    assert found[inner].values.shape == (8, 24)
    # The encoder returns an output of transformers, whose first entry is the last state.
    assert capture(model, batch, Request((module("encoder"),)))[module("encoder")].values.equal(
        found[block].values
    )


@pytest.mark.parametrize(("family", "name", "message"), [
    ("bert", "encoder.layr", "'encoder.layr' is no module of the BertModel; did you mean 'encoder"),
    ("bert", "", "'' is no module of the BertModel"),
    ("bert", "encoder.layer", "the module 'encoder.layer' has not run"),
    ("bert", "pooler",
     "the module 'pooler': expected an output for each token, [2, 5, width], found [2, 16]"),
    ("bigru", "layers.0.gru", "the module 'layers.0.gru': expected .* found a PackedSequence"),
])  # fmt: skip
def test_modules_without_states_of_tokens_are_refused(family: str, name: str, message: str) -> None:
    model = tiny(family)
    pattern = message if ".*" in message else re.escape(message)
    with pytest.raises(ModelError, match=pattern):
        capture(model, batch_of(5, 3), Request((module("embeddings"), module(name))))
    assert not hooks(model)


def test_names_are_checked_before_a_run() -> None:
    model = tiny("bert")
    check_modules(model, [module("encoder.layer.1.output"), Signal("hidden_states", 9)])
    with pytest.raises(ModelError, match=r"'encoder\.layer\.7' is no module .* did you mean 'encoder"):
        check_modules(model, [module("encoder.layer.7")])


def test_no_hook_stays_after_an_error_in_the_model() -> None:
    model = tiny("bert")
    with pytest.raises(IndexError):
        capture(model, batch_of(5) | {"input_ids": torch.full((1, 5), 10**6)}, Request((module("encoder"),)))
    assert not hooks(model)
