"""Students cut out of models: the tensors are the model's own, the rest is drawn or dropped as published."""

from pathlib import Path

import pytest
import torch

from kdpipe.errors import ModelError
from kdpipe.models.extraction import BLOCK, extract_blocks, extract_distilbert
from kdpipe.models.loading import load_model


@pytest.mark.parametrize("fixture", ["language_model", "classifier"])
def test_blocks_of_the_same_family_are_copies(fixture: str, request: pytest.FixtureRequest) -> None:
    model = load_model(request.getfixturevalue(fixture))
    student = extract_blocks(model, [0, 3])
    assert type(student) is type(model)
    assert student.config.num_hidden_layers == 2
    ours, theirs = model.state_dict(), student.state_dict()
    for name, value in theirs.items():
        original = name.replace("layer.1.", "layer.3.")
        assert torch.equal(value, ours[original]), name


def test_all_blocks_give_the_same_outputs(classifier: Path) -> None:
    model = load_model(classifier).eval()
    student = extract_blocks(model, [0, 1, 2, 3]).eval()
    ids = torch.randint(5, 80, (2, 7))
    assert torch.equal(model(ids).logits, student(ids).logits)


def test_distilbert_has_the_models_tensors_in_its_own_places(language_model: Path) -> None:
    model = load_model(language_model)
    student = extract_distilbert(model, [1, 3], vocab_transform=True, seed=0)
    ours, theirs = model.state_dict(), student.state_dict()
    for place, block in enumerate((1, 3)):
        for source, target in BLOCK.items():
            for kind in ("weight", "bias"):
                copied = theirs[f"distilbert.transformer.layer.{place}.{target}.{kind}"]
                assert torch.equal(copied, ours[f"bert.encoder.layer.{block}.{source}.{kind}"])
    assert torch.equal(
        theirs["distilbert.embeddings.word_embeddings.weight"], ours["bert.embeddings.word_embeddings.weight"]
    )
    assert torch.equal(theirs["vocab_projector.bias"], ours["cls.predictions.bias"])
    assert student.vocab_projector.weight is student.distilbert.embeddings.word_embeddings.weight


@pytest.mark.parametrize("blocks", [[0], [0, 2], [0, 1, 2, 3]])
def test_the_number_of_copied_tensors_is_the_published_one(language_model: Path, blocks: list[int]) -> None:
    model = load_model(language_model)
    ours = {value.numpy().tobytes() for value in model.state_dict().values() if value.std() > 0}
    with_transform = extract_distilbert(model, blocks, vocab_transform=True, seed=0)
    without = extract_distilbert(model, blocks, vocab_transform=False, seed=0)
    # 6 + 16 a block, and 4 of the transform: Causal-Distill's extract_distilbert.py.
    assert len(with_transform.state_dict()) == 6 + 16 * len(blocks) + 4
    changed = [
        name
        for name, value in with_transform.state_dict().items()
        if not torch.equal(value, without.state_dict()[name])
    ]
    # Fresh norms and biases are equal to those of an untrained model; its matrix is not.
    assert changed == ["vocab_transform.weight"]
    assert with_transform.state_dict()["vocab_transform.weight"].numpy().tobytes() in ours


def test_a_classifier_keeps_head_and_labels(classifier: Path) -> None:
    model = load_model(classifier)
    student = extract_distilbert(model, [0], vocab_transform=True, seed=0)
    assert student.config.id2label == {0: "0", 1: "1"}
    assert torch.equal(student.classifier.weight, model.classifier.weight)
    assert torch.equal(student.pre_classifier.weight, model.bert.pooler.dense.weight)


def test_only_bert_becomes_distilbert(language_model: Path) -> None:
    student = extract_distilbert(load_model(language_model), [0], vocab_transform=True, seed=0)
    with pytest.raises(ModelError, match="DistilBertForMaskedLM"):
        extract_distilbert(student, [0], vocab_transform=True, seed=0)
