"""How often students and teachers agree, from their predictions."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.plan.graph import Graph
from kdpipe.reporting.agreement import Agreement, agreements

SPLITS = {"mrpc": "test", "sst2": "test"}
STUDENTS = ["student-mrpc-{seed}", "student-sst2-{seed}"]


def agreement(graph: Graph) -> Agreement:
    return next(found for found in agreements(graph, STUDENTS, SPLITS) if found.dataset == "mrpc")


def test_shares_are_means_over_runs(example: Graph):
    """The first so many predictions are right: 16 of 20 of the teacher, 15, 15 and 17 of the students."""
    found = agreement(example)
    assert (found.student, found.teacher, found.split) == ("student-mrpc-{seed}", "teacher-mrpc", "test")
    assert found.both == pytest.approx((15 + 15 + 16) / 60)
    assert found.teacher_alone == pytest.approx((1 + 1 + 0) / 60)
    assert found.student_alone == pytest.approx((0 + 0 + 1) / 60)
    assert found.neither == pytest.approx((4 + 4 + 3) / 60)
    # With two labels, both are wrong in the same way.
    assert found.same == pytest.approx(found.both + found.neither)
    assert found.both + found.teacher_alone + found.student_alone + found.neither == pytest.approx(1)


def test_texts_are_those_on_which_one_alone_is_right(example: Graph):
    (text,) = agreement(example).texts
    # The 16th text: its tokens are [CLS], the first of three words, film and [SEP].
    assert text.text == "warm film"
    assert (text.label, text.teacher, text.student, text.teacher_right) == ("yes", "yes", "no", True)


def test_only_the_students_and_datasets_that_are_asked_for(example: Graph):
    assert agreements(example, ["plain-mrpc-{seed}"], SPLITS) == []
    assert [found.dataset for found in agreements(example, STUDENTS, {"sst2": "test"})] == ["sst2"]


def test_predictions_of_other_examples_are_not_compared(config: dict[str, Any], make_results: Any):
    graph = make_results(config)
    file = graph.layout.evaluation("teacher-mrpc", "mrpc") / "predictions.parquet"
    table = pq.read_table(file)
    ids = pa.array([f"other {number}" for number in range(len(table))])
    pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", ids), file)
    assert [found.dataset for found in agreements(graph, STUDENTS, SPLITS)] == ["sst2"]
