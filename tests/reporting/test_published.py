from pathlib import Path
from typing import Any

import pytest

from kdpipe.errors import DataError
from kdpipe.reporting.published import published_values, read_published

HEAD = "model,dataset,metric,value\n"


def score(model: str, dataset: str = "mrpc", metric: str = "accuracy") -> dict[str, Any]:
    kind, _, seed = model.partition("-")
    return {
        "model": model,
        "model_group": f"{kind}-{{seed}}" if seed else model,
        "template": f"{kind}-{{seed}}" if seed else model,
        "dataset": dataset,
        "dataset_group": dataset,
        "dataset_template": "{task}",
        "metric": metric,
    }


SCORES = [score("student-1"), score("student-2"), score("teacher"), score("teacher", metric="f1")]


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "published.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_name_goes_before_a_template(csv: Any):
    path = csv(
        f"{HEAD}student-{{seed}},mrpc,accuracy,0.8\nstudent-2,mrpc,accuracy,0.9\nteacher,{{task}},f1,0.7\n"
    )
    assert published_values(SCORES, path) == [0.8, 0.9, None, 0.7]


def test_columns_come_in_any_order_and_with_a_byte_order_mark(csv: Any):
    path = csv("\ufeffvalue,metric,dataset,model\n 1e-1 ,f1,mrpc,teacher\n")
    assert read_published(path) == {("teacher", "mrpc", "f1"): (2, 0.1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected the columns model,dataset,metric,value, found nothing"),
        ("model,metric,value\n", ":1: expected the columns .* found model,metric,value"),
        (f"{HEAD}teacher,mrpc,f1\n", ":2: expected 4 fields .* found 3"),
        (f"{HEAD}teacher,mrpc,f1,0.1,0.2\n", ":2: expected 4 fields .* found 5"),
        (f"{HEAD}\nteacher,mrpc,f1,high\n", ":3: value: expected a number, found 'high'"),
        (f"{HEAD}teacher,mrpc,f1,nan\n", ":2: value: expected a number, found 'nan'"),
        (
            f"{HEAD}teacher,mrpc,f1,1\nteacher,mrpc,f1,1\n",
            ":3: teacher mrpc f1 stands twice, first in line 2",
        ),
        (f"{HEAD}taecher,mrpc,f1,1\n", ":2: model 'taecher' has no results; did you mean 'teacher'"),
        (f"{HEAD}teacher,mprc,f1,1\n", ":2: dataset 'mprc' has no results for teacher; did you mean 'mrpc'"),
        (f"{HEAD}student-1,mrpc,f1,1\n", ":2: metric 'f1' has no results for student-1 on mrpc; .*accuracy"),
    ],
)
def test_a_mistake_is_told_with_its_line(csv: Any, text: str, message: str):
    with pytest.raises(DataError, match=r"published\.csv" + message):
        published_values(SCORES, csv(text))


def test_a_missing_file_is_told_with_its_setting(tmp_path: Path):
    with pytest.raises(DataError, match=r"report\.published: .*none\.csv cannot be read"):
        published_values(SCORES, tmp_path / "none.csv")
