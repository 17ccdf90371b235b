import re
from pathlib import Path
from typing import Any

import pytest

from kdpipe import catalog
from kdpipe.declarations import constants
from kdpipe.errors import DataError
from kdpipe.plan.published import Line, read_published
from kdpipe.reporting.published import own_lines, published_lines

HEAD = "model,dataset,metric,value\n"
SPLIT = "model,dataset,split,metric,value,paper\n"
SHIPPED = Path(__file__).parents[2] / "config" / "published"
# Metrics that only papers have, and what is no score: each name says its unit.
PAPERS = {"score", "perplexity", "vocabulary"}
UNITS = r"%|\bMB\b|\bms\b|seconds|sentences/s|millions|billions|speed-up"


def score(model: str, dataset: str = "mrpc", metric: str = "accuracy", split: str = "test") -> dict[str, Any]:
    kind, _, seed = model.partition("-")
    return {
        "model": model,
        "format": "torch",
        "model_group": f"{kind}-{{seed}}" if seed else model,
        "template": f"{kind}-{{seed}}" if seed else model,
        "dataset": dataset,
        "dataset_group": dataset,
        "dataset_template": "{task}",
        "split": split,
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


def values(path: Path, scores: Any = SCORES) -> list[float | None]:
    found = published_lines(scores, read_published(path))
    return [line and line.value for line in found]


def test_a_name_goes_before_a_template(csv: Any):
    path = csv(
        f"{HEAD}student-{{seed}},mrpc,accuracy,0.8\nstudent-2,mrpc,accuracy,0.9\nteacher,{{task}},f1,0.7\n"
    )
    assert values(path) == [0.8, 0.9, None, 0.7]


def test_a_value_of_a_split_is_beside_the_score_on_that_split(csv: Any):
    path = csv(f"{SPLIT}teacher,mrpc,test,accuracy,0.8,\nteacher,mrpc,,accuracy,0.7,\n")
    scores = [score("teacher"), score("teacher", split="validation")]
    assert values(path, scores) == [0.8, 0.7]


def test_of_several_papers_the_first_counts(csv: Any):
    path = csv(f"{SPLIT}teacher,mrpc,,accuracy,0.8,One\nteacher,mrpc,,accuracy,0.7,Two\n")
    assert values(path, [score("teacher")]) == [0.8]


def test_what_no_model_has_stands_apart(csv: Any, config: dict[str, Any], make_results: Any):
    config["report"]["published"] = str(csv(
        f"{SPLIT}TinyBERT4,MRPC,validation,f1,0.864,A paper\nteacher-mrpc,mrpc,,accuracy,0.7,\n"
        "teacher-{task},{task},,accuracy,0.6,\nteacher-mrpc,MRPC,,accuracy,0.7,\nteacher-mrpc,mrpc,,speed,2,\n"
    ))  # fmt: skip
    own, others = own_lines(make_results(config))
    assert [line.number for line in own] == [3, 4]
    assert others[0] == Line("TinyBERT4", "MRPC", "validation", "f1", 0.864, "A paper", 2)
    assert [line.number for line in others] == [2, 5, 6]


def test_columns_come_in_any_order_and_with_a_byte_order_mark(csv: Any):
    path = csv("\ufeffvalue,metric,dataset,model\n 1e-1 ,f1,mrpc,teacher\n")
    assert read_published(path) == [Line("teacher", "mrpc", "", "f1", 0.1, "", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected the columns model,dataset,metric,value, and maybe split and paper, found nothing"),
        ("model,metric,value\n", ":1: expected the columns .* found model,metric,value"),
        ("model,dataset,metric,value,year\n", ":1: expected the columns .* found .*year"),
        ("model,dataset,metric,value,value\n", ":1: expected the columns .* found .*value"),
        (f"{HEAD}teacher,mrpc,f1\n", ":2: expected 4 fields, as in the first line, found 3"),
        (f"{HEAD}teacher,mrpc,f1,0.1,0.2\n", ":2: expected 4 fields, as in the first line, found 5"),
        (f"{HEAD}\nteacher,mrpc,f1,high\n", ":3: value: expected a number, found 'high'"),
        (f"{HEAD}teacher,mrpc,f1,nan\n", ":2: value: expected a number, found 'nan'"),
        (
            f"{HEAD}teacher,mrpc,f1,1\nteacher,mrpc,f1,1\n",
            ":3: teacher mrpc f1 stands twice, first in line 2",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(csv: Any, text: str, message: str):
    with pytest.raises(DataError, match=r"published\.csv" + message):
        read_published(csv(text))


def test_a_missing_file_is_told_with_its_setting(tmp_path: Path):
    with pytest.raises(DataError, match=r"report\.published: .*none\.csv cannot be read"):
        read_published(tmp_path / "none.csv")


def test_shipped_values_have_the_scale_of_results():
    known = {metric for task in catalog.TASKS.values() for metric in constants(task)["all_metrics"]}
    for file in SHIPPED.glob("*.csv"):
        for line in read_published(file):
            assert line.split in ("", "validation", "validation_mismatched", "test"), line
            assert all((line.model, line.dataset, line.paper)), line
            if line.metric in known - {"perplexity"} | {"score"}:
                assert -1 <= line.value <= 1, line
            else:
                assert line.metric in PAPERS or re.search(UNITS, line.metric), line


def test_the_numbers_of_shipped_values_are_told():
    cells = re.findall(r"^\| `.*csv` \| ([\d, ]+) \|", (SHIPPED / "README.md").read_text(), re.MULTILINE)
    told = [int(number) for cell in cells for number in cell.split(", ")]
    assert told == [len(read_published(file)) for file in sorted(SHIPPED.glob("*.csv"))]
    # The values of TextBrewer and DIITO besides; some of DIITO's stand there twice.
    assert sum(told) == 1048 + 148 + 209 + 112
