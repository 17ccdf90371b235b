"""EncT5 has T5's encoder, which its prompts read."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from kdpipe.errors import ModelError
from kdpipe.models.enct5 import EncT5Model
from kdpipe.models.loading import load_model, load_with_head, save_model
from tests.models.conftest import HEADS, SHAPES, batch_of
from tests.tolerance import assert_close

FIELDS = {key: value for key, value in SHAPES["enct5"].items() if key != "n_positions"}


@pytest.fixture(params=["relu", "gated-gelu"])
def checkpoint(
    request: pytest.FixtureRequest, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> tuple[T5ForConditionalGeneration, Path]:
    """A T5 and its folder."""
    config = T5Config(**FIELDS, vocab_size=80, feed_forward_proj=request.param)
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(config).eval()
    save_model(model, wordpiece, tmp_path)
    return model, tmp_path


def test_a_t5_is_read_with_its_encoder_and_the_first_block_of_its_decoder(checkpoint) -> None:
    t5, folder = checkpoint
    model, batch = load_model(folder).eval(), batch_of(6, 9)
    assert isinstance(model, EncT5Model)
    ours = model.state_dict()
    assert sorted({int(key.split(".")[2]) for key in ours if key.startswith("decoder.block")}) == [0]
    for key, value in t5.state_dict().items():
        if key != "lm_head.weight" and not key.startswith(("decoder.block.1", "decoder.block.2")):
            assert torch.equal(ours[key], value), key
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = t5.encoder(ids, attention_mask=mask).last_hidden_state
    assert torch.equal(model(ids, mask).last_hidden_state, expected)


def test_the_decoder_reads_the_encoder_as_that_of_a_t5_with_one_block(checkpoint) -> None:
    t5, folder = checkpoint
    model, batch = load_model(folder).eval(), batch_of(6, 9)
    t5.decoder.block = t5.decoder.block[:1]
    prompts = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    encoded = model(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    expected = t5.decoder(
        inputs_embeds=prompts.expand(2, -1, -1),
        encoder_hidden_states=encoded,
        encoder_attention_mask=batch["attention_mask"],
        use_cache=False,
    ).last_hidden_state
    assert_close(model.decode(prompts, encoded, batch["attention_mask"]), expected)


def test_a_t5_is_given_a_head_in_one_go(checkpoint) -> None:
    t5, folder = checkpoint
    model = load_with_head(folder, HEADS[0], seed=1)
    assert torch.equal(model.enct5.shared.weight, t5.shared.weight)
    assert model.config.model_type == "enct5"


def test_there_is_one_prompt_for_a_text_and_one_for_each_position_of_a_token(with_head) -> None:
    texts, tokens = with_head("enct5", HEADS[0]), with_head("enct5", HEADS[3])
    assert texts.prompt.weight.shape == (1, 16)
    assert tokens.prompt.weight.shape == (40, 16)


def test_prompts_and_classifiers_are_drawn_as_published(bodies) -> None:
    model = load_with_head(bodies["enct5"], HEADS[3], seed=1)
    assert model.prompt.weight.std().item() == pytest.approx(1, rel=0.1)
    many = dataclasses.replace(HEADS[3], labels=tuple(map(str, range(200))))
    classifier = load_with_head(bodies["enct5"], many, seed=1).classifier
    assert classifier.weight.std().item() == pytest.approx(16**-0.5, rel=0.1)
    assert not classifier.bias.any()


def test_embeddings_are_written_once(bodies) -> None:
    from safetensors import safe_open

    with safe_open(bodies["enct5"] / "model.safetensors", "pt") as weights:
        assert {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}.isdisjoint(weights.keys())
        assert "shared.weight" in weights.keys()  # noqa: SIM118 (it cannot be iterated over)


def test_tokens_beyond_the_prompts_are_refused(with_head) -> None:
    model, batch = with_head("enct5", HEADS[3]), batch_of(41)
    with pytest.raises(ModelError, match="prompts for 40 tokens, found a batch of 41"):
        model(batch["input_ids"], batch["attention_mask"])
