"""Entities are counted as conlleval counts them."""

import random
from pathlib import Path

import pytest

from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import score
from kdpipe.evaluation.tasks.token_classification import TokenClassification, entity_metrics
from kdpipe.models.loading import Head, load_tokenizer, load_with_head

TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")


def entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """The entities of conlleval: an entity begins at B-, at a change of the type, and after O."""
    found, start = set(), None
    for place, (before, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        kind_before, kind = before[2:], tag[2:]
        if start is not None and (tag[0] in "BO" or kind != kind_before):
            found.add((kind_before, start, place))
            start = None
        if tag != "O" and start is None:
            start = place
    return found


def test_entities_are_those_of_conlleval() -> None:
    random.seed(1)
    for _ in range(30):
        gold, predicted = (
            [random.choices(TAGS, [5, 2, 2, 2, 2], k=n) for n in (4, 9, 1, 17)] for _ in range(2)
        )
        counts = {kind: [0, 0, 0] for kind in "XY"}
        for ours, theirs in zip(predicted, gold, strict=True):
            for place, chunks in enumerate(
                (entities(ours) & entities(theirs), entities(ours), entities(theirs))
            ):
                for kind, *_ in chunks:
                    counts[kind][place] += 1
        right, found, there = (sum(row[i] for row in counts.values()) for i in range(3))
        metrics = entity_metrics(gold, predicted)
        assert metrics["precision"] == pytest.approx(right / found if found else 0)
        assert metrics["recall"] == pytest.approx(right / there if there else 0)
        assert metrics["f1"] == pytest.approx(2 * right / (found + there) if right else 0)
        for kind, (right, found, there) in counts.items():
            if there or found:
                assert metrics[f"f1:{kind}"] == pytest.approx(2 * right / (found + there))


def test_nothing_found_scores_zero() -> None:
    metrics = entity_metrics([["B-X", "O"]], [["O", "O"]])
    assert (metrics["f1"], metrics["precision"], metrics["recall"], metrics["accuracy"]) == (0, 0, 0, 0.5)
    assert entity_metrics([["O"]], [["O"]])["f1"] == 0


def test_words_that_were_cut_count_as_outside(language_model: Path, ner_data: Path) -> None:
    labels = ("O", "B-COLD", "I-COLD", "B-WARM", "I-WARM")
    model = load_with_head(language_model, Head("token_classification", tuple(labels)), seed=3)
    tokenizer = load_tokenizer(language_model)
    evaluation = score(model, tokenizer, EncodedSplit(ner_data, "validation"), seed=1)
    rows = evaluation.predictions.to_pylist()
    assert evaluation.n == sum(len(row["label"]) for row in rows)
    cut = [row for row in rows if 0.0 in row["scores"]]
    assert cut
    for row in cut:
        assert row["prediction"][-1] == "O"
    gold, predicted = ([row[name] for row in rows] for name in ("label", "prediction"))
    assert evaluation.metrics == entity_metrics(gold, predicted)
    assert tuple(evaluation.metrics)[:4] == TokenClassification.metrics
    assert evaluation.metrics.keys() >= {"f1", "f1:COLD", "f1:WARM", "precision:COLD"}
