"""Language modelling: perplexity of the masked tokens, or of each token after the tokens before it."""

import numpy as np
import pyarrow as pa
from torch.nn import functional

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
        mean = entropy.sum() / max(targets.sum(), 1)
        with np.errstate(over="ignore"):
            metrics = {"perplexity": float(np.exp(mean)), "cross_entropy": float(mean)}
        predictions = pa.table({"id": split.ids, "cross_entropy": entropy, "targets": targets})
        return Evaluation({name: metrics[name] for name in subject.metrics}, int(targets.sum()), predictions)
