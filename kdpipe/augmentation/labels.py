"""Labels that a model gives to examples."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.encoding import RegressionEncoder
from kdpipe.data.source import Example, Label
from kdpipe.errors import DataError
from kdpipe.evaluation.task import BATCH_SIZE, Subject, example_logits
from kdpipe.models.compatibility import check_rows


class Labeller:
    """Labels examples, and drops examples of whose class the model is not sure enough.

    Args:
        model: the model, with a head for the task.
        tokenizer_file: its `tokenizer.json`.
        pad_id: id of its padding token.
        task: the task of the labels.
        max_length: tokens of an example that are read.
        confidence: the smallest probability of the most probable class; None keeps all examples.
        batch_size: examples that the model runs at once.

    Attributes:
        counts: numbers of examples that were `labelled` and `dropped`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer_file: Path,
        pad_id: int,
        *,
        task: str,
        max_length: int,
        confidence: float | None = None,
        batch_size: int | None = None,
    ) -> None:
        self._model, self._pad_id, self._task = model, pad_id, task
        # Examples without labels are encoded alike for all tasks.
        self._encode = RegressionEncoder(tokenizer_file, max_length)
        self._confidence = confidence or 0.0
        self._batch_size = batch_size or BATCH_SIZE
        self.counts = Counter[str]()

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the model; None for a regression."""
        if self._task == "regression":
            return None
        return tuple(self._model.config.id2label[index] for index in range(self._model.config.num_labels))

    def __call__(self, examples: Sequence[Example]) -> list[Example]:
        """Return the examples with their new labels, as far as the model is sure of these."""
        logits = self._logits([example._replace(label=None) for example in examples])
        pairs = zip(examples, self._names(logits), self._is_sure(logits), strict=True)
        kept = [example._replace(label=label) for example, label, is_sure in pairs if is_sure]
        self.counts.update(labelled=len(kept), dropped=len(examples) - len(kept))
        return kept

    def _logits(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Return the logits of the examples [N, C]."""
        batch = self._encode(examples).batch
        split = EncodedSplit.of_rows([batch], self._task)
        largest = {"length": split.longest, "input_ids": int(split.column("input_ids").values().max())}
        largest["token_type_ids"] = int("token_type_ids" in split.columns)
        check_rows(self._model.config, self._task, largest, "the model", "the dataset")
        subject = Subject(
            self._model, Collator(split, self._pad_id), (), lambda count: None, batch_size=self._batch_size
        )
        return example_logits(subject)

    def _names(self, logits: NDArray[np.float32]) -> list[Label]:
        names = self.labels
        if names is None:
            return [float(logit) for logit in logits[:, 0]]
        if self._task == "classification":
            return [names[index] for index in logits.argmax(-1)]
        return [tuple(name for name, logit in zip(names, row, strict=True) if logit > 0) for row in logits]

    def _is_sure(self, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell of each example whether its most probable class is probable enough [N]."""
        if not np.isfinite(logits).all():
            raise DataError("labels.from: expected a model with finite logits, found others; it has diverged")
        exponents = np.exp(logits - logits.max(-1, keepdims=True))
        sure: NDArray[np.bool_] = exponents.max(-1) / exponents.sum(-1) >= self._confidence
        return sure
