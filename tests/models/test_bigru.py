"""The bidirectional GRU."""

import torch
from torch import nn

from kdpipe.models.bigru import BiGRUConfig, BiGRUModel
from tests.models.conftest import HEADS, batch_of, tiny
from tests.tolerance import assert_close


def test_its_size_is_about_what_was_published() -> None:
    with torch.device("meta"):
        model = BiGRUModel(BiGRUConfig(vocab_size=28996))
    assert sum(parameter.numel() for parameter in model.parameters()) == 30_536_448


def test_a_layer_reads_a_row_in_both_directions_up_to_its_end() -> None:
    model, batch = tiny("bigru", num_hidden_layers=1), batch_of(5, 8)
    states = model(batch["input_ids"], batch["attention_mask"]).last_hidden_state[0, :5]
    gru, projection = model.get_submodule("layers.0.gru"), model.get_submodule("layers.0.projection")
    words = model.embeddings(batch["input_ids"][0, :5])
    forward, backward = nn.GRU(16, 16), nn.GRU(16, 16)
    for name, parameter in gru.named_parameters():
        direction = backward if name.endswith("_reverse") else forward
        direction.get_parameter(name.removesuffix("_reverse")).data.copy_(parameter)
    both = torch.cat([forward(words)[0], backward(words.flip(0))[0].flip(0)], dim=-1)
    assert_close(states, projection(both))


def test_every_row_without_a_mask_is_full() -> None:
    model, batch = tiny("bigru"), batch_of(8, 8)
    ids = batch["input_ids"]
    assert torch.equal(model(ids).last_hidden_state, model(ids, batch["attention_mask"]).last_hidden_state)


def test_a_text_is_classified_by_the_mean_of_its_tokens(with_head) -> None:
    model, batch = with_head("bigru", HEADS[0]), batch_of(5, 8)
    states = model.bigru(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    expected = model.classifier(states[0, :5].mean(0))
    assert_close(model(batch["input_ids"], batch["attention_mask"]).logits[0], expected)


def test_an_empty_row_gives_numbers(with_head) -> None:
    model, batch = with_head("bigru", HEADS[0]), batch_of(5, 8)
    mask = batch["attention_mask"].clone()
    mask[0] = 0
    assert model(batch["input_ids"], mask).logits.isfinite().all()


def test_it_is_drawn_as_pytorch_draws_a_gru() -> None:
    weights = tiny("bigru", hidden_size=100, num_hidden_layers=1).get_parameter("layers.0.gru.weight_hh_l0")
    assert weights.abs().max() <= 0.1
    assert 0.05 < weights.std() < 0.065
