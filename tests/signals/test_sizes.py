"""The size of a cache is known before the teacher runs over the data."""

import logging
import re
from pathlib import Path

import pytest
import torch

from kdpipe.anatomy.signals import LOGITS, Signal, StoredPrecision
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.scoring import head_of, task_of
from kdpipe.models.loading import load_with_head
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.capture import Request, Teacher
from kdpipe.signals.sizes import check_size, measure

CPU = torch.device("cpu")
ALL = (
    LOGITS,
    Signal("hidden_states", 0),
    Signal("attentions", 2),
    Signal("values", 3),
    Signal("module", "encoder.layer.0.intermediate"),
)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("dataset", ["task_data", "ner_data", "question_data"])
def test_a_file_is_as_large_as_one_example_lets_expect(
    dataset: str,
    precision: StoredPrecision,
    language_model: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    data = request.getfixturevalue(dataset)
    model = load_with_head(language_model, head_of(data), seed=1).eval()
    collator = Collator(EncodedSplit(data, "train"), pad_id=0)
    for signals in [(signal,) for signal in ALL] + [ALL]:
        teacher = Teacher(model, Request(signals, task_of(data).positions))
        expected = sum(measure(teacher, collator, precision, CPU).values())
        write_knowledge(tmp_path / "signals", teacher, collator, precision, CPU)
        # A file has a description of its columns, and pads each of these to whole lines of the processor.
        assert (tmp_path / "signals").stat().st_size == pytest.approx(expected, rel=0.01, abs=6000)


def test_a_cache_over_its_limit_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    sizes = {LOGITS: 1_000_000, ALL[1]: 3_000_000_000, ALL[2]: 1_000_000_000}
    caplog.set_level(logging.INFO)
    check_size(sizes, 96, limit_gb=4.002)
    words = "takes 4.001 GB for 96 examples: logits 0.001 GB, hidden_states.0 3.000 GB, attentions.2 1.000 GB"
    assert words in caplog.text
    words = "1 hidden_states and 1 attentions of 96 examples would take 4 GB, more than cache_limit_gb 3.9"
    with pytest.raises(KdpipeError, match=re.escape(words)) as refused:
        check_size(sizes, 96, limit_gb=3.9)
    assert "cache: off" in str(refused.value)
