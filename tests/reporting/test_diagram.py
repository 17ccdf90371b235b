from typing import Any

from kdpipe.plan.build import build_graph
from kdpipe.reporting.diagram import Diagram, draw_graph


def boxes(diagram: Diagram) -> dict[tuple[str, str], str]:
    return {(box.kind, "".join(box.lines)): box.note for box in diagram.boxes}


def test_templates_and_datasets_are_drawn_with_what_they_are(config: dict[str, Any]):
    times = "\N{MULTIPLICATION SIGN}"
    assert boxes(draw_graph(build_graph(config))) == {
        ("dataset", "text"): "language modeling",
        ("dataset", "{task}"): f"classification {times} 2",
        ("model", "base"): "pretrain",
        ("model", "teacher-{task}"): f"finetune {times} 2",
        ("model", "init"): "extract",
        ("model", "plain-{task}-{seed}"): f"finetune {times} 6",
        ("model", "student-{task}-{seed}"): f"distill {times} 6",
    }


def test_a_template_of_datasets_has_the_tasks_of_all(config: dict[str, Any]):
    config["matrix"] = {"task": ["mrpc", "sts-b"], "seed": [1]}
    config["datasets"]["{task}"] = {"source": "glue", "name": "{task}", "path": "glue"}
    times = "\N{MULTIPLICATION SIGN}"
    found = boxes(draw_graph(build_graph(config)))
    assert found["dataset", "{task}"] == f"classification, regression {times} 2"


def test_edges_tell_what_a_source_is_for(config: dict[str, Any]):
    config["models"]["best"] = {"select": {"among": "plain-mrpc-{seed}", "dataset": "mrpc"}}
    diagram = draw_graph(build_graph(config))
    assert diagram.kinds == ["start", "teacher", "candidate", "data"]
    kinds = [tip.kind for tip in diagram.tips]
    assert {kind: kinds.count(kind) for kind in diagram.kinds} == {
        "start": 4,  # base to teacher and init, init to plain and student
        "teacher": 1,
        "candidate": 1,
        "data": 5,
    }


def test_what_is_only_scored_on_is_no_edge(config: dict[str, Any]):
    config["datasets"]["extra"] = {"source": "pydoc", "task": "classification"}
    config["models"]["init"]["extract"]["evaluate"] = []
    config["models"]["teacher-{task}"]["finetune"]["evaluate"] = ["{task}", "extra"]
    assert ("dataset", "extra") not in boxes(draw_graph(build_graph(config)))


def test_a_model_may_have_the_name_of_a_dataset(config: dict[str, Any]):
    config["models"]["text"] = config["models"].pop("init")
    for template in ("plain-{task}-{seed}", "student-{task}-{seed}"):
        ((_, settings),) = config["models"][template].items()
        settings["model" if "model" in settings else "student"] = "text"
    found = boxes(draw_graph(build_graph(config)))
    assert {("dataset", "text"), ("model", "text")} <= set(found)


def test_datasets_made_of_others_have_an_edge_from_each(config: dict[str, Any]):
    config["datasets"]["both"] = {"combine": ["mrpc", "sst2"]}
    config["models"]["joint"] = {"finetune": {"model": "base", "dataset": "both"}}
    diagram = draw_graph(build_graph(config))
    x = {"".join(box.lines): box.x for box in diagram.boxes}
    assert x["{task}"] < x["both"] < x["joint"]


def test_datasets_stand_after_the_models_that_make_them(config: dict[str, Any]):
    config["datasets"]["copies"] = {"augment": {"dataset": "mrpc", "method": "masked_lm", "model": "base"}}
    config["datasets"]["unread"] = {"augment": {"dataset": "mrpc", "method": "mask"}}
    config["datasets"]["{task}-more"] = {
        "source": "table",
        "path": "{task}.csv",
        "text": "text",
        "labels": {"from": "copied"},
    }
    config["models"]["copied"] = {"finetune": {"model": "base", "dataset": "copies"}}
    config["models"]["more-{task}"] = {"finetune": {"model": "base", "dataset": "{task}-more"}}
    diagram = draw_graph(build_graph(config))
    x = {"".join(box.lines): box.x for box in diagram.boxes}
    assert x["base"] < x["copies"] < x["copied"] < x["{task}-more"] < x["more-{task}"]
    assert "unread" not in x


def test_templates_made_from_each_other_are_drawn(config: dict[str, Any]):
    # The students of a task start from the students of the other task.
    config["matrix"] = {
        "task": {"mrpc": {"first": "init", "rows": 9}, "sst2": {"first": "plain-mrpc", "rows": 9}}
    }
    config["models"]["plain-{task}"] = {
        "finetune": {"model": "{task.first}", "dataset": "{task}"},
    }
    del config["models"]["plain-{task}-{seed}"], config["models"]["student-{task}-{seed}"]
    assert ("model", "plain-{task}") in boxes(draw_graph(build_graph(config)))


def test_long_names_are_broken_into_lines(config: dict[str, Any]):
    config["models"]["a-very-long-name-of-a-model-{task}"] = config["models"].pop("teacher-{task}")
    ((_, settings),) = config["models"]["student-{task}-{seed}"].items()
    settings["teacher"] = "a-very-long-name-of-a-model-{task}"
    lines = {box.lines for box in draw_graph(build_graph(config)).boxes}
    assert ("a-very-long-name-of-a-", "model-{task}") in lines


def test_all_of_it_lies_within_the_drawing(config: dict[str, Any]):
    diagram = draw_graph(build_graph(config))
    for box in diagram.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= diagram.width + 1e-6
        assert box.y + box.height <= diagram.height
