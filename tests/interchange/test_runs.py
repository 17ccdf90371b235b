"""Base and counterfactual runs are those of three whole runs, for every family, task and site."""

from typing import Any

import pytest
import torch
from torch import Tensor

from kdpipe.anatomy.alignments import At, Pair, Read, Site, named_alignment
from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.data.batches import EXCHANGE
from kdpipe.errors import ModelError
from kdpipe.interchange.runs import Interchange, TeacherOfBoth, both_runs
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head
from kdpipe.signals.capture import BASE, COUNTERFACTUAL, Request, Signals, capture
from tests.interchange.naive import counterfactual
from tests.models.conftest import KINDS, PRUNABLE, SHAPES, batch_of, bodies, scattered, tiny, with_head
from tests.tolerance import assert_close, is_close

__all__ = ["bodies", "with_head"]
CLASSES = Head("classification", ("b", "c", "a"))
SITES = {
    "first": Site((0,)),
    "middle": Site((1,)),
    "last": Site((2,)),
    "several": Site((0, 1)),
    "apart": Site((0, 2)),
    "a head": Site((1,), (1,)),
    "numbers of a head": Site((1,), (0, 1), (1, 3)),
}
# Families whose blocks return other things, or whose queries, keys and values share a map, at all sites.
ALL_SITES = ("bert", "enct5", "gpt2")


def sites_of(name: str) -> list[Any]:
    """Return parameters of a test: a family with sites, of most families with a few."""
    few = {key: SITES[key] for key in ("middle", "several")}
    chosen = SITES if name in ALL_SITES else few
    return [pytest.param(name, site, id=f"{name}-{key}") for key, site in chosen.items()]


POSITIONS = {"classification": "examples", "question_answering": "spans"}


def exchanged(write: list[int], read: list[int], *lengths: int) -> dict[str, Any]:
    """Return a batch of base texts of 7 and 5 tokens, and what is exchanged with sources of some lengths."""
    source = batch_of(*lengths)
    rows = {"write": torch.tensor(write, dtype=torch.int64), "read": torch.tensor(read, dtype=torch.int64)}
    batch: dict[str, Any] = batch_of(7, 5)
    return {
        **batch,
        "label_rows": torch.tensor([1, 4, 9]),
        EXCHANGE: {"source": source, "choice": (0, 0), **rows},
    }


# Base rows lie at 0 to 6 and 7 to 11, source rows at 0 to 5 and 6 to 8.
BATCH = exchanged([1, 2, 9], [2, 3, 7], 6, 3)


def every_state(model: Any, *kinds: str) -> tuple[Signal, ...]:
    depth = len(family_of(model).blocks(model.base_model))
    places = [Signal("hidden_states", place) for place in range(depth + 1)]
    return (*places, *(Signal(kind, place) for kind in kinds for place in range(1, depth + 1)))


def assert_alike(found: Signals, expected: Signals) -> None:
    assert found.keys() == expected.keys()
    for signal, rows in expected.items():
        # Logits over a vocabulary are late.
        assert_close(found[signal].at(rows.positions, BATCH).values, rows.values)


def runs(
    model: Any, request: Request, site: Site, at: At = "output", read: Read = "aligned"
) -> dict[str, Signals]:
    return both_runs(model, BATCH, {BASE: request, COUNTERFACTUAL: request}, site, at, read)


@pytest.mark.parametrize(("name", "head"), KINDS)
@pytest.mark.parametrize("read", ["aligned", "shifted"])
@pytest.mark.parametrize("site", [SITES["middle"], SITES["several"], SITES["last"]], ids=str)
def test_runs_are_those_of_three_whole_runs(name: str, head: Head, site: Site, read: Read, with_head) -> None:
    model = scattered(with_head(name, head))
    positions: Any = POSITIONS.get(head.task, "labelled")
    request = Request((*every_state(model), LOGITS), positions)
    found = runs(model, request, site, "output", read)
    assert_alike(found[BASE], capture(model, BATCH, request))
    assert_alike(found[COUNTERFACTUAL], counterfactual(model, BATCH, request, site, "output", read))


@pytest.mark.parametrize("read", ["aligned", "shifted"])
@pytest.mark.parametrize(("name", "site"), [case for name in ALL_SITES for case in sites_of(name)])
def test_any_states_of_blocks_can_be_swapped(name: str, site: Site, read: Read) -> None:
    model = scattered(tiny(name))
    request = Request(every_state(model))
    found = runs(model, request, site, "output", read)
    assert_alike(found[COUNTERFACTUAL], counterfactual(model, BATCH, request, site, "output", read))


@pytest.mark.parametrize("at", ["queries", "keys", "values", "heads"])
@pytest.mark.parametrize(("name", "site"), [case for name in PRUNABLE for case in sites_of(name)])
def test_what_heads_read_and_return_can_be_swapped(name: str, site: Site, at: At) -> None:
    model = scattered(tiny(name))
    request = Request(every_state(model, "attentions", "queries", "keys", "values"))
    found = runs(model, request, site, at)
    assert_alike(found[BASE], capture(model, BATCH, request))
    assert_alike(found[COUNTERFACTUAL], counterfactual(model, BATCH, request, site, at))
    assert not is_close(
        found[COUNTERFACTUAL][Signal("hidden_states", 3)].values,
        found[BASE][Signal("hidden_states", 3)].values,
    )


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("read", ["aligned", "shifted"])
@pytest.mark.parametrize("site", [SITES["middle"], SITES["several"]], ids=["one", "several"])
def test_gradients_are_those_of_three_whole_runs(name: str, site: Site, read: Read) -> None:
    model = scattered(tiny(name))
    request = Request(every_state(model))

    def gradients(base: Signals, intervened: Signals) -> Tensor:
        model.zero_grad()
        total = torch.zeros(())
        for signal, rows in base.items():
            total = total + (int(signal.place or 0) + 1) * rows.values.square().sum()
        for signal, rows in intervened.items():
            total = total + (5 - int(signal.place or 0)) * rows.values.sin().sum()
        total.backward()
        # Parts of the gradients are nothing but rounding, as those of the biases of keys.
        return torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])

    both = runs(model, request, site, "output", read)
    ours = gradients(both[BASE], both[COUNTERFACTUAL])
    naive = counterfactual(model, BATCH, request, site, "output", read)
    theirs = gradients(capture(model, BATCH, request), naive)
    assert_close(ours, theirs)


def hidden(signals: Signals, place: int) -> Tensor:
    return signals[Signal("hidden_states", place)].padded()


def test_blocks_below_are_those_of_the_base_to_the_bit() -> None:
    model = scattered(tiny("bert"))
    both = runs(model, Request(every_state(model)), Site((1,)))
    for place in (0, 1):
        assert torch.equal(hidden(both[COUNTERFACTUAL], place), hidden(both[BASE], place))
    changed = (hidden(both[COUNTERFACTUAL], 2) != hidden(both[BASE], 2)).any(-1)
    assert changed.flatten().nonzero().flatten().tolist() == BATCH[EXCHANGE]["write"].tolist()
    above = (hidden(both[COUNTERFACTUAL], 3) != hidden(both[BASE], 3)).any(-1)
    assert torch.equal(above, BATCH["attention_mask"].bool())


MODULES = {
    "bert": ("encoder.layer.{}", "encoder.layer.{}.output", "embeddings"),
    "distilbert": ("transformer.layer.{}", "transformer.layer.{}.ffn", "embeddings"),
    "gpt2": ("h.{}", "h.{}.mlp", "wte"),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("at", ["output", "values"])
def test_outputs_of_modules_are_those_of_the_intervened_run(name: str, at: At) -> None:
    model = scattered(tiny(name))
    whole, part, embeddings = MODULES[name]
    places = [text.format(block) for text in (whole, part) for block in range(3)]
    request = Request(tuple(Signal("module", place) for place in [*places, embeddings]))
    found = runs(model, request, SITES["middle"], at)[COUNTERFACTUAL]
    assert_alike(found, counterfactual(model, BATCH, request, SITES["middle"], at))


@pytest.mark.parametrize("name", MODULES)
def test_modules_below_the_site_are_those_of_the_base_to_the_bit(name: str) -> None:
    model = scattered(tiny(name)).train()
    whole, part, embeddings = MODULES[name]
    below = [whole.format(0), part.format(0), part.format(1), embeddings]
    request = Request(tuple(Signal("module", place) for place in below))
    both = runs(model, request, SITES["middle"])
    for signal, rows in both[BASE].items():
        assert torch.equal(both[COUNTERFACTUAL][signal].values, rows.values)


def test_only_the_columns_of_a_site_change() -> None:
    model = scattered(tiny("bert"))
    both = runs(model, Request(every_state(model)), Site((1,), (1,), (2, 5)))
    changed = (hidden(both[COUNTERFACTUAL], 2) != hidden(both[BASE], 2)).flatten(0, 1).any(0)
    assert changed.nonzero().flatten().tolist() == [10, 11, 12]


def test_without_positions_the_runs_are_equal_to_the_bit(with_head) -> None:
    model, empty = scattered(with_head("bert", CLASSES)), torch.tensor([], dtype=torch.int64)
    batch = {**BATCH, EXCHANGE: {**BATCH[EXCHANGE], "write": empty, "read": empty}}
    request = Request((LOGITS,))
    both = both_runs(model, batch, {BASE: request, COUNTERFACTUAL: request}, Site((1,)), "output", "aligned")
    assert torch.equal(both[BASE][LOGITS].values, both[COUNTERFACTUAL][LOGITS].values)


def whole_exchange(source: dict[str, Any]) -> dict[str, Any]:
    every = torch.arange(12)
    base = batch_of(6, 6)
    return {**base, EXCHANGE: {"source": source, "choice": (0, 0), "write": every, "read": every}}


@pytest.mark.parametrize("block", [0, 1, 2])
def test_with_all_positions_the_run_is_that_of_the_source(block: int, with_head) -> None:
    model, source = scattered(with_head("bert", CLASSES)), batch_of(6, 6, width=6)
    source["input_ids"] = source["input_ids"].flip(0)
    batch, request = whole_exchange(source), Request((LOGITS,))
    asked = {BASE: request, COUNTERFACTUAL: request}
    found = both_runs(model, batch, asked, Site((block,)), "output", "aligned")[COUNTERFACTUAL]
    assert_close(found[LOGITS].values, capture(model, source, request)[LOGITS].values)


def test_of_its_own_text_the_run_is_the_base_run(with_head) -> None:
    model, request = scattered(with_head("distilbert", CLASSES)), Request((LOGITS,))
    batch = whole_exchange(batch_of(6, 6))
    places = torch.tensor([1, 2, 7, 10])
    batch[EXCHANGE] |= {"write": places, "read": places}
    both = both_runs(model, batch, {BASE: request, COUNTERFACTUAL: request}, Site((1,)), "output", "aligned")
    assert_close(both[COUNTERFACTUAL][LOGITS].values, both[BASE][LOGITS].values)


def block_gradients(read: Read) -> list[float]:
    """Return the sizes of the gradients of each block; all positions are swapped in the second of three."""
    model = scattered(tiny("bert"))
    batch, request = whole_exchange(batch_of(6, 6)), Request((Signal("hidden_states", 3),))
    found = both_runs(model, batch, {BASE: Request(()), COUNTERFACTUAL: request}, Site((1,)), "output", read)
    found[COUNTERFACTUAL][Signal("hidden_states", 3)].values.square().sum().backward()
    return [
        sum(float(value.grad.abs().sum()) for value in block.parameters() if value.grad is not None)
        for block in model.encoder.layer
    ]


def test_gradients_reach_the_blocks_of_the_source_that_were_read() -> None:
    aligned, shifted = block_gradients("aligned"), block_gradients("shifted")
    assert all(aligned)
    # The block that is jumped over has no gradient, as in the published code.
    assert [bool(size) for size in shifted] == [True, False, True]


def test_a_teacher_gives_both_runs_without_gradients(with_head) -> None:
    model = scattered(with_head("bert", CLASSES))
    interchange = Interchange(named_alignment("middle", 3, 3))
    request = Request((LOGITS,))
    both = TeacherOfBoth(model, request, request, interchange).runs(BATCH)
    assert [*both] == [BASE, COUNTERFACTUAL]
    assert not any(rows.values.requires_grad for signals in both.values() for rows in signals.values())
    expected = counterfactual(model, BATCH, request, Site((1,)))
    assert_close(both[COUNTERFACTUAL][LOGITS].values, expected[LOGITS].values)


def test_runs_begin_and_end_at_the_site(with_head) -> None:
    model = with_head("bert", CLASSES)
    real = [block.attention for block in model.bert.encoder.layer]
    worked: list[int] = []
    for number, attention in enumerate(real):
        attention.register_forward_hook(lambda *_, number=number: worked.append(number))
    request = Request((LOGITS,))
    runs(model, request, Site((1,)))
    assert worked == [0, 1, 2, 0, 1, 2]
    worked.clear()
    asked = {BASE: Request(()), COUNTERFACTUAL: request}
    both_runs(model, BATCH, asked, Site((1,)), "output", "aligned")
    assert worked == [0, 1, 0, 1, 2]


def test_a_model_is_left_as_it_was(with_head) -> None:
    model = scattered(with_head("bert", CLASSES))
    before = capture(model, BATCH, Request((LOGITS,)))[LOGITS].values
    with pytest.raises(ModelError, match="heads"):
        runs(model, Request((LOGITS,)), Site((1,), (7,)))
    runs(model, Request((LOGITS,)), Site((0, 1)))
    assert torch.equal(capture(model, BATCH, Request((LOGITS,)))[LOGITS].values, before)
    modules = [*model.modules()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert not any("forward" in vars(module) for module in modules)


@pytest.mark.parametrize("block", [0, 1])
def test_the_runs_share_dropout_below_the_site(block: int) -> None:
    model = scattered(tiny("bert", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)).train()
    use_fast_dropout(model)
    empty = torch.tensor([], dtype=torch.int64)
    batch = {**BATCH, EXCHANGE: {**BATCH[EXCHANGE], "write": empty, "read": empty}}
    request = Request(every_state(model))
    both = both_runs(
        model, batch, {BASE: request, COUNTERFACTUAL: request}, Site((block,)), "output", "aligned"
    )
    for place in range(block + 2):
        assert torch.equal(hidden(both[COUNTERFACTUAL], place), hidden(both[BASE], place))
    assert not torch.equal(hidden(both[COUNTERFACTUAL], 3), hidden(both[BASE], 3))


def test_swapped_tokens_need_no_site(with_head) -> None:
    model, request = scattered(with_head("bert", CLASSES)), Request((LOGITS,))
    mixed = BATCH["input_ids"].clone()
    mixed[0, 2:4] = torch.tensor([8, 9])
    batch = {**BATCH, EXCHANGE: {"mixed": mixed, "choice": (0, 0)}}
    both = both_runs(model, batch, {BASE: request, COUNTERFACTUAL: request}, Site(()), "output", "aligned")
    expected = capture(model, {**BATCH, "input_ids": mixed}, request)
    assert torch.equal(both[COUNTERFACTUAL][LOGITS].values, expected[LOGITS].values)
    assert torch.equal(both[BASE][LOGITS].values, capture(model, BATCH, request)[LOGITS].values)


@pytest.mark.parametrize(
    ("site", "at", "expected"),
    [
        (Site((3,)), "output", "blocks 0 to 2, found 3"),
        (Site((1,), (2,)), "queries", "2 heads of 8 numbers"),
        (Site((1,), None, (0, 9)), "output", "2 heads of 8 numbers"),
    ],
)
def test_sites_that_a_model_lacks_are_refused(site: Site, at: At, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        runs(tiny("bert"), Request(every_state(tiny("bert"))), site, at)


def test_alternatives_are_taken_from_their_entry() -> None:
    one, other = Pair(Site((0,)), Site((1,))), Pair(Site((2,)), Site((1,)))
    interchange = Interchange(((one,), (one, other)))
    assert interchange.pair({EXCHANGE: {"choice": (1, 1)}}) == other


SHIPPED = [("middle", 3), ("middle", 6), ("middle", 9), ("late", 3), ("late", 6)]
SHIPPED += [("full", 3), ("full", 6), ("full", 9)]
DEPTHS = {"distilbert": "n_layers", "enct5": "num_layers", "gpt2": "n_layer"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ALL_SITES else pytest.mark.slow) for name in sorted(SHAPES)],
)
@pytest.mark.parametrize(("alignment", "depth"), SHIPPED)
def test_the_shipped_alignments_run_in_every_family(name: str, alignment: str, depth: int) -> None:
    field = DEPTHS.get(name, "num_hidden_layers")
    teacher, student = (scattered(tiny(name, **{field: blocks})) for blocks in (12, depth))
    for [pair] in named_alignment(alignment, 12, depth):
        for model, site, blocks in ((teacher, pair.teacher, 12), (student, pair.student, depth)):
            request = Request((Signal("hidden_states", blocks),))
            found = runs(model, request, site)[COUNTERFACTUAL]
            assert_alike(found, counterfactual(model, BATCH, request, site))


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_runs_are_the_same_in_half_precision(name: str, implementation: str, with_head) -> None:
    model = scattered(with_head(name, Head("language_modeling")))
    model.set_attn_implementation(implementation)
    request = Request((*every_state(model), LOGITS), "labelled")
    with torch.autocast("cpu", torch.bfloat16):
        found = runs(model, request, SITES["several"])[COUNTERFACTUAL]
        expected = counterfactual(model, BATCH, request, SITES["several"])
        for signal, rows in expected.items():
            values = found[signal].at(rows.positions, BATCH).values
            assert_close(values, rows.values, dtype=torch.bfloat16, roundings=8)
