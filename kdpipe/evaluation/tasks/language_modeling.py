"""Language modelling: perplexity of the masked tokens, or of each token after the tokens before it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch.nn import functional

from kdpipe.evaluation.metrics import mean
from kdpipe.evaluation.task import Evaluation, Subject, Task, run_batches


class LanguageModeling(Task):
    """Perplexity: exp of the mean cross-entropy over the tokens that are predicted.

    The masks of an example follow from the seed and its place in the split alone, so models with one
    tokenizer see the same; the mean is over tokens, not over batches.

    Reference:
        Devlin et al. 2018, BERT (arXiv 1810.04805), section 3.1.
    """

    encoder = "kdpipe.data.corpus:LanguageModelEncoder"
    kind = "categorical"
    positions = "labelled"
    masked = True
    by_token = True
    metrics = ("perplexity", "cross_entropy")
    all_metrics = ("perplexity", "cross_entropy")

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model on its targets; predictions hold each example's cross-entropy and targets."""
        split, size = subject.split, len(subject.split)
        entropy, targets = np.zeros(size), np.zeros(size, dtype=np.int64)
        for indices, batch, logits in run_batches(subject, "labelled"):
            losses = functional.cross_entropy(logits, batch["labels"], reduction="none").cpu().numpy()
            examples = indices[batch["label_rows"].cpu().numpy() // batch["input_ids"].shape[1]]
            np.add.at(entropy, examples, losses)
            np.add.at(targets, examples, 1)
        average = entropy.sum() / max(targets.sum(), 1)
        with np.errstate(over="ignore"):
            metrics = {"perplexity": float(np.exp(average)), "cross_entropy": float(average)}
        predictions = pa.table({"id": split.ids, "cross_entropy": entropy, "targets": targets})
        return Evaluation({name: metrics[name] for name in subject.metrics}, int(targets.sum()), predictions)

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return cross-entropy and number of targets of each example [N, 2]."""
        return np.stack(
            [predictions[name].to_numpy().astype(float) for name in ("cross_entropy", "targets")], 1
        )

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the mean cross-entropy over targets, and its exponential."""
        average = mean(sums[:, 0], sums[:, 1])
        with np.errstate(over="ignore"):
            return {"perplexity": np.exp(average), "cross_entropy": average}
