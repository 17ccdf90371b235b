"""Language modelling: perplexity of the tokens that were masked, or of each token after those before it."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from kdpipe.data.batches import batches_by_length
from kdpipe.evaluation.inference import BATCH_SIZE
from kdpipe.evaluation.task import Evaluation, Subject
from kdpipe.models.loading import Head
from kdpipe.models.signals import Request, run_model


class LanguageModeling:
    """Perplexity: exp of the mean cross-entropy over the tokens that are predicted.

    The masks follow from the seed and the text alone, so models with one tokenizer see the same; the mean
    is over tokens, not over batches.

    Reference:
        Devlin et al. 2018, BERT (arXiv 1810.04805), section 3.1.
    """

    encoder = "kdpipe.data.encoding:LanguageModelEncoder"
    kind = "categorical"
    positions = "labelled"
    masked = True
    metrics = ("perplexity", "cross_entropy")
    all_metrics = ("perplexity", "cross_entropy")

    @staticmethod
    def head(labels: Sequence[str] | None) -> Head:
        """Return the head that predicts tokens."""
        return Head("language_modeling")

    @staticmethod
    @torch.inference_mode()
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model on its targets; predictions hold each example's cross-entropy and targets."""
        model, split = subject.model, subject.split
        model.eval()
        size = len(split)
        entropy, targets = np.zeros(size), np.zeros(size, dtype=np.int64)
        for indices in batches_by_length(split.lengths, BATCH_SIZE):
            batch = subject.batch(indices)
            logits = run_model(model, batch, Request(rows="label_rows")).logits
            assert logits is not None
            losses = functional.cross_entropy(logits.float(), batch["labels"], reduction="none").cpu().numpy()
            examples = indices[batch["label_rows"].cpu().numpy() // batch["input_ids"].shape[1]]
            np.add.at(entropy, examples, losses)
            np.add.at(targets, examples, 1)
            subject.advance(len(indices))
        mean = entropy.sum() / max(targets.sum(), 1)
        found = {"perplexity": math.exp(mean), "cross_entropy": mean}
        predictions = pa.table({"id": split.ids, "cross_entropy": entropy, "targets": targets})
        return Evaluation({name: found[name] for name in subject.metrics}, int(targets.sum()), predictions)
