"""Models with a function that names their signals: what is packed of these, and what is refused."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BatchEncoding

from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.errors import ModelError
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.capture import Request, capture
from tests.models.conftest import HEADS, batch_of, bodies, logits_of, tiny, with_head

__all__ = ["bodies", "with_head"]

STATE = Signal("hidden_states", 2)


class Net(nn.Module):
    """Embeddings and two maps; it returns a tuple."""

    def __init__(self, width: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(80, width)
        self.map = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        words = self.words(input_ids)
        states = self.map(words).tanh()
        real = attention_mask[..., None]
        return self.head((states * real).sum(1) / real.sum(1)), words, states


def named(batch: Any, outputs: Any) -> dict[str, Tensor]:
    return dict(zip(("logits", "hidden_states.0", "hidden_states.1"), outputs, strict=True))


def gives(**signals: Any) -> Adapted:
    """Return a model whose adaptor gives some values, whatever the model returns."""
    return Adapted(Net(), lambda batch, outputs: {name.replace("__", "."): x for name, x in signals.items()})


def test_signals_are_packed_as_those_of_a_family(with_head: Any) -> None:
    model, batch = with_head("bert", HEADS[0]), batch_of(5, 3)
    model.set_attn_implementation("eager")
    model.config.output_hidden_states = model.config.output_attentions = True

    def adaptor(batch: Any, outputs: Any) -> dict[str, Tensor]:
        states = {f"hidden_states.{place}": state for place, state in enumerate(outputs.hidden_states)}
        heads = {f"attentions.{place}": each for place, each in enumerate(outputs.attentions, start=1)}
        return {"logits": outputs["logits"], "module.third": outputs.hidden_states[3], **states, **heads}

    wanted = (LOGITS, STATE, Signal("attentions", 1))
    request = Request(wanted)
    adapted = Adapted(model, adaptor)
    found, expected = capture(adapted, batch, request), capture(model, batch, request)
    for signal in wanted:
        torch.testing.assert_close(found[signal].values, expected[signal].values)
        assert found[signal].places.equal(expected[signal].places)
        assert (found[signal].size, found[signal].positions) == (
            expected[signal].size, expected[signal].positions)  # fmt: skip
    third = Signal.at("hidden_states", "third")
    assert capture(adapted, batch, Request((third,)))[third].values.shape == (8, 16)
    assert adapted.depth(batch) == 3


def test_a_batch_may_be_any_mapping() -> None:
    batch = BatchEncoding(batch_of(5, 3))
    read = []

    def adaptor(batch: Any, outputs: Any) -> dict[str, Tensor]:
        read.append(type(batch))
        return named(batch, outputs)

    model = Adapted(Net(), adaptor)
    assert capture(model, batch, Request())[LOGITS].values.shape == (2, 3)
    assert read == [BatchEncoding]
    assert capture(tiny("bert"), batch, Request((STATE,)))[STATE].values.shape == (8, 16)


@pytest.mark.parametrize(("positions", "rows"), [("tokens", 8), ("labelled", 2), ("spans", 8)])
def test_logits_of_tokens_are_packed_by_the_positions_that_are_asked_for(positions: Any, rows: int) -> None:
    batch = {**batch_of(5, 3), "label_rows": torch.tensor([1, 6])}
    logits = torch.arange(20.0).view(2, 5, 2)
    found = capture(gives(logits=logits), batch, Request((LOGITS,), positions))[LOGITS]
    places = batch["label_rows"] if positions == "labelled" else batch["token_rows"]
    assert len(places) == rows
    assert found.values.equal(logits.flatten(0, 1)[places])


@pytest.mark.parametrize(("model", "wanted", "message"), [
    (lambda: gives(logits=torch.zeros(2, 3)), (LOGITS, STATE),
     "expected hidden_states.2, which losses read, found logits; return the signal, or compare another"),
    (lambda: gives(), (LOGITS,), "expected logits, which losses read, found none"),
    (lambda: gives(hidden=torch.zeros(2, 5, 8)), (STATE,),
     "'hidden' is no signal; did you mean 'hidden_states'?"),
    (lambda: gives(hidden_states=torch.zeros(2, 5, 8)), (STATE,),
     "'hidden_states' is no signal; expected a name such as `hidden_states.0`"),
    (lambda: gives(attentions__0=torch.zeros(2, 1, 5, 5)), (LOGITS,), "a name such as `attentions.1`"),
    (lambda: gives(logits__1=torch.zeros(2, 3)), (LOGITS,),
     "'logits.1' is no signal; expected a name such as `logits`"),
    (lambda: gives(module=torch.zeros(2, 3)), (LOGITS,), "expected a name such as `module.NAME`"),
    (lambda: gives(logits=torch.zeros(2, 5, 3)), (LOGITS,),
     "logits: expected a tensor [2, classes], found [2, 5, 3]"),
    (lambda: gives(hidden_states__2=torch.zeros(2, 8)), (STATE,),
     "hidden_states.2: expected a tensor [2, 5, width], found [2, 8]"),
    (lambda: gives(hidden_states__2=[[1.0]]), (STATE,), "expected a tensor [2, 5, width], found a list"),
    (lambda: gives(attentions__1=torch.zeros(2, 5, 4, 5)), (Signal("attentions", 1),),
     "attentions.1: expected a tensor [2, heads, 5, 5], found [2, 5, 4, 5]"),
    (lambda: gives(keys__1=torch.zeros(2, 5, 8)), (Signal("keys", 1),),
     "keys.1: expected a tensor [2, 5, heads, size], found [2, 5, 8]"),
    (lambda: Adapted(Net(), lambda batch, outputs: outputs), (LOGITS,),
     "expected a mapping from names of signals to tensors, found a tuple"),
])  # fmt: skip
def test_what_is_no_signal_is_refused(
    model: Callable[[], Adapted], wanted: tuple[Signal, ...], message: str
) -> None:
    pattern = f"^the adaptor of the Net: .*{re.escape(message)}|^the adaptor of the Net: {re.escape(message)}"
    with pytest.raises(ModelError, match=pattern):
        capture(model(), batch_of(5, 3), Request(wanted))


def test_what_is_no_model_is_refused() -> None:
    class Positional(nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            return inputs[0]

    with pytest.raises(ModelError, match=r"expected `input_ids` among .* Positional.forward, found inputs"):
        Adapted(Positional(), named)
    with pytest.raises(ModelError, match=r"Adapted: expected a torch.nn.Module, found 'bert'"):
        Adapted("bert", named)
    with pytest.raises(ModelError, match="Adapted: expected a function as the adaptor, found None"):
        Adapted(Net(), None)


def test_all_logits_of_an_adapted_model() -> None:
    model, batch = Adapted(Net(), named), batch_of(5, 3)
    assert logits_of(model, batch).equal(model.model(batch["input_ids"], batch["attention_mask"])[0])
    assert (model.depth(batch), model.device) == (1, torch.device("cpu"))
