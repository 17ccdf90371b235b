"""Fast dropout does what PyTorch's dropout does, with other draws."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from kdpipe.models.dropout import LEVELS, attend, drop_out, use_fast_dropout
from kdpipe.models.loading import load_model
from tests.models.conftest import HEADS, SHAPES, batch_of, logits_of
from tests.tolerance import assert_close, is_close

NOTHING = 1e-9


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_of_zeros_and_the_scale(probability: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    dropped = drop_out(torch.ones(301, 333, dtype=dtype), probability)
    kept = dropped[dropped != 0]
    deviation = (probability * (1 - probability) / dropped.numel()) ** 0.5
    assert abs(1 - kept.numel() / dropped.numel() - probability) < 5 * deviation
    assert kept.unique().tolist() == [pytest.approx(1 / (1 - probability), rel=5e-3)]


def test_draws_follow_pytorchs_generator() -> None:
    ones = torch.ones(5, 7)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(drop_out(ones, 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("probability", [1 / LEVELS, 0.1, 0.5, 1 - 1 / LEVELS])
def test_an_element_is_dropped_if_its_16_bits_are_too_small(probability: float) -> None:
    values = torch.randn(301, 11)
    torch.manual_seed(1)
    dropped = drop_out(values, probability)
    torch.manual_seed(1)
    draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = draws[: values.numel()].view(values.shape).int() + LEVELS // 2 >= probability * LEVELS
    expected = torch.where(kept, values / (1 - probability), 0.0)
    assert_close(dropped, expected)


def test_nothing_and_everything() -> None:
    values = torch.randn(3, 5)
    assert torch.equal(drop_out(values, 0.0), values)
    assert torch.equal(drop_out(values, NOTHING), values)
    assert not drop_out(values, 1.0).any()


def test_gradients_pass_where_elements_were_kept() -> None:
    values = torch.randn(40, 5, requires_grad=True)
    dropped = drop_out(values, 0.5)
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, (dropped != 0) * 2.0)


class Layer(torch.nn.Module):
    is_causal = False


def attention_inputs() -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4, generator=generator, requires_grad=True) for _ in range(3))
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, :, 3:] = False
    return (query, key, value), mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_attention_that_drops_nothing_is_that_of_sdpa(masked: bool, scaling: float | None) -> None:
    results = []
    for implementation, dropout in ((attend, NOTHING), (sdpa_attention_forward, 0.0)):
        inputs, mask = attention_inputs()
        options: dict[str, Any] = {"dropout": dropout, "scaling": scaling}
        context, weights = implementation(Layer(), *inputs, mask if masked else None, **options)
        context.square().sum().backward()
        results.append([context, *(tensor.grad for tensor in inputs)])
        assert (weights is None) == (implementation is sdpa_attention_forward)
    for ours, theirs in zip(*results, strict=True):
        assert_close(ours, theirs)


def test_attention_drops_weights_and_keeps_their_mean() -> None:
    (query, key, _), mask = attention_inputs()
    value = torch.ones(2, 3, 5, 4)
    torch.manual_seed(1)
    contexts = torch.stack([attend(Layer(), query, key, value, mask, dropout=0.3)[0] for _ in range(400)])
    assert contexts.std() > 0.1
    torch.testing.assert_close(contexts.mean(0), torch.ones(2, 5, 3, 4), atol=0.15, rtol=0)


def test_causal_attention_is_left_to_sdpa() -> None:
    inputs, _ = attention_inputs()
    layer = Layer()
    layer.is_causal = True
    torch.manual_seed(1)
    ours, _ = attend(layer, *inputs, None, dropout=0.2)
    torch.manual_seed(1)
    theirs, _ = sdpa_attention_forward(layer, *inputs, None, dropout=0.2)
    assert torch.equal(ours, theirs)


def test_a_model_stays_what_it_was(classifier: Path, tmp_path: Path) -> None:
    model, plain = load_model(classifier), load_model(classifier)
    model.save_pretrained(tmp_path / "before")
    use_fast_dropout(model)
    model.save_pretrained(tmp_path / "after")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
    batch = {"input_ids": torch.tensor([[2, 7, 8, 9]]), "attention_mask": torch.tensor([[1, 1, 1, 0]])}
    model.eval()
    plain.eval()
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, plain(**batch).logits)
        model.train()
        assert not torch.equal(model(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("lengths", [(9, 5), (9, 9)], ids=["padded", "full"])
def test_every_family_drops_while_training_and_only_then(
    name: str, lengths: tuple[int, int], with_head: Any
) -> None:
    model, batch = with_head(name, HEADS[0]), batch_of(*lengths)
    expected = logits_of(model, batch)
    use_fast_dropout(model)
    assert_close(logits_of(model, batch), expected)
    model.train()
    first, second = (logits_of(model, batch) for _ in range(2))
    assert not is_close(first, second)
    for module in model.modules():
        assert type(module) is not torch.nn.Dropout
        if hasattr(module, "p"):
            module.p = 0.0
        # T5 keeps the probability for attention weights in a field of its layers.
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    assert_close(logits_of(model, batch), expected)
