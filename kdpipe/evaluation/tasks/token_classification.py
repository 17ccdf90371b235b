"""Token classification: a tag for every word, scored by the entities that the tags mark."""

from collections.abc import Sequence
from operator import eq

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kdpipe.data.encoded import split_runs
from kdpipe.data.words import OUTSIDE
from kdpipe.evaluation.metrics import mean, share
from kdpipe.evaluation.task import Evaluation, Subject, Task, run_batches

# Types of the columns; a split whose sentences have no words does not show the types.
TAGS, SCORES = pa.list_(pa.string()), pa.list_(pa.float32())


class TokenClassification(Task):
    """Precision, recall and F1 of entities, over all and by type, and the share of words with the right tag.

    An entity is right if its type and both ends are. Words that were cut off count as tagged `O`.

    Reference:
        Tjong Kim Sang & De Meulder 2003 (W03-0419), section 2.3, whose conlleval script seqeval follows.
    """

    encoder = "kdpipe.data.tagging:TaggingEncoder"
    kind = "categorical"
    positions = "labelled"
    metrics = ("f1", "precision", "recall", "accuracy")
    all_metrics = ("f1", "precision", "recall", "accuracy")

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model by the most likely tag of each word's first piece; scores are the tag's."""
        names, split = np.array(subject.split.classes), subject.split
        tags, scores = _predict(subject)
        predicted = split_runs(names[tags], split.word_lengths)
        columns = {"id": split.ids, "prediction": pa.array(predicted, TAGS)}
        measured: dict[str, float] = {}
        if split.labels is not None:
            gold = split_runs(names[split.labels], split.word_lengths)
            measured = entity_metrics(gold, predicted)
            columns["label"] = pa.array(gold, TAGS)
        reported = [*subject.metrics, *(name for name in measured if ":" in name)] if measured else []
        columns["scores"] = pa.array(split_runs(scores, split.word_lengths), SCORES)
        return Evaluation({name: measured[name] for name in reported}, len(tags), pa.table(columns))

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return right, predicted and true entities of each sentence, right words, and words [N, 5]."""
        from seqeval.metrics.sequence_labeling import get_entities

        rows = []
        for predicted, gold in zip(
            *(predictions[name].to_pylist() for name in ("prediction", "label")), strict=True
        ):
            found, true = set(get_entities(predicted)), set(get_entities(gold))
            right = sum(map(eq, predicted, gold))
            rows.append((len(found & true), len(found), len(true), right, len(gold)))
        return np.array(rows, float)

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return precision, recall and F1 of entities, and the share of words with the right tag."""
        both, predicted, gold, right, words = sums.T
        return {
            "f1": share(2 * both, predicted + gold),
            "precision": share(both, predicted),
            "recall": share(both, gold),
            "accuracy": mean(right, words),
        }


def entity_metrics(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the metrics of tags in IOB2, in 0 to 1; `f1:TYPE` and so on are a type of entity's."""
    # Importing seqeval imports scikit-learn, which takes a second.
    from seqeval.metrics import accuracy_score
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    types = sorted({tag[2:] for tags in (*gold, *predicted) for tag in tags} - {""})
    metrics = dict.fromkeys(("precision", "recall", "f1"), 0.0)
    if types:
        counted = precision_recall_fscore_support(gold, predicted, average="micro", zero_division=0)
        metrics = dict(zip(metrics, counted, strict=False))
        by_type = precision_recall_fscore_support(gold, predicted, average=None, zero_division=0)
        for metric, values in zip(tuple(metrics), by_type, strict=False):
            metrics |= {f"{metric}:{name}": value for name, value in zip(types, values, strict=True)}
    metrics["accuracy"] = accuracy_score(gold, predicted)
    return {name: float(value) for name, value in metrics.items()}


def _predict(subject: Subject) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the tag of every word and its logit, 0 where the word was cut off."""
    split = subject.split
    assert split.words is not None
    tags = np.full(len(split.words), subject.split.classes.index(OUTSIDE), dtype=np.int64)
    scores = np.zeros(len(split.words), dtype=np.float32)
    for indices, _, logits in run_batches(subject, "labelled"):
        best = logits.max(-1)
        places = split.words_of(indices)
        tags[places] = best.indices.cpu().numpy()
        scores[places] = best.values.cpu().numpy()
    return tags, scores
