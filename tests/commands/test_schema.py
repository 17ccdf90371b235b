"""The JSON Schema that editors use: it accepts what a check accepts, and refuses what is misspelt."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from kdpipe.commands.schema import config_schema
from kdpipe.config.document import read_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def validator():
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def accepts(validator):
    # As an editor sees it, a config holds nothing that JSON does not.
    return lambda config: validator.is_valid(json.loads(json.dumps(config)))


@pytest.mark.parametrize(
    "path", ["config.yaml", *(f"config/{p.name}" for p in (ROOT / "config").glob("*.yaml"))]
)
def test_shipped_configs_are_accepted(accepts, path):
    assert accepts(read_config([ROOT / path]))


@pytest.mark.parametrize("changes", [
    {},
    {"defaults": {"finetune": {"training": {"num_train_epochs": 3}}}},
    {"defaults": {"create": {"architecture": {"hidden_size": 8}}}},
    {"models.small.extract.layers": [0, 2]},
    {"models.small.extract.layers": "{size.layers}"},
    {"models.student.distill.cache": False},
    {"models.student.distill.cache": "off"},
    {"models.student.distill.losses": "{size.losses}"},
    {"models.student.distill.losses[0].temperature": "{size.temperature}"},
    {"models.student.distill.losses[0].weight": "1e-2"},
    {"models.student.distill.losses[1]": {"preset": "{size.preset}"}},
    {"models.student.distill.losses[1].layers": [[4, 2], [0, 0]]},
    {"models.student.distill.training": {"learning_rate": "5e-5", "lr_scheduler_type": "{size.schedule}"}},
    {"models.teacher.finetune.evaluate": "text"},
    {"models.teacher.finetune.seed": "{seed}"},
    {"models.best": {"select": {"among": "student", "dataset": "task"}}},
    {"datasets.all": {"combine": ["task", "{task}"], "rows": "1e4"}},
    {"datasets.task.rows": {"train": 10, "test": 5}},
    {"datasets.copies": {"augment": {"dataset": "{task}", "method": "mask", "probability": "{rate}"}}},
    {"datasets.copies": {"augment": {"dataset": "task", "method": "masked_lm", "model": "b", "copies": 3}}},
    {"datasets.task.labels": "none"},
    {"datasets.task.labels": {"from": "teacher-{seed}", "confidence": 0.9}},
    {"matrix": {"size": {"s": {"layers": [1, 2]}}, "seed": [1, 2]}},
    {"matrix": [{"seed": [1]}, {"size": ["s"]}]},
    {"report": {"title": "T", "over": ["seed"], "plots": [{"x": "parameters", "y": "accuracy"}]}},
])  # fmt: skip
def test_what_a_config_may_say_is_accepted(accepts, changed, changes):
    assert accepts(changed(changes))


@pytest.mark.parametrize("changes", [
    {"modles": {}},
    {"datasets.copies": {"augment": {"dataset": "task", "method": "maks"}}},
    {"datasets.copies": {"augment": {"dataset": "task", "method": "mask", "model": "base"}}},
    {"datasets.copies": {"augment": {"dataset": "task", "method": "mask", "copies": 0}}},
    {"datasets.task.labels": {"form": "teacher"}},
    {"seed": "one"},
    {"models.teacher.finetun": {}},
    {"models.a": {}},
    {"models.a": {"prune": {"sparsty": 0.5}}},
    {"models.a": {"load": {"path": "x"}, "create": {}}},
    {"models.teacher.finetune.modle": "base"},
    {"models.teacher.finetune.training": {"lerning_rate": 1}},
    {"models.teacher.finetune.training": {"output_dir": "x"}},
    {"models.teacher.finetune.training": {"lr_scheduler_type": "linaer"}},
    {"models.base.pretrain.architecture.hidden_sise": 8},
    {"models.base.pretrain.architecture.family": "gpt"},
    {"models.small.extract.architecture": "gpt"},
    {"models.student.distill.knowledge": {"layer": 1}},
    {"models.student.distill.interchange": {"alignment": "middle", "positions": "any"}},
    {"models.student.distill.losses[0].loss": "kll"},
    {"models.student.distill.losses[0].layers": "last"},
    {"datasets.task.max_lenght": 8},
    {"datasets.text.path": "x"},
    {"datasets.a": {"source": "squid"}},
    {"defaults": {"distil": {}}},
    {"report": {"baselin": "x"}},
])  # fmt: skip
def test_what_is_misspelt_or_not_available_is_refused(accepts, changed, changes):
    assert not accepts(changed(changes))


def test_settings_are_explained():
    definitions = config_schema()["$defs"]
    distill = definitions["stages"]["properties"]["distill"]
    assert distill["description"] == "Knowledge distillation."
    properties = distill["properties"]
    taught = "the model whose outputs the student learns, a list of models, or a model for each dataset or"
    taught += " for each value of a column ({column, models})."
    assert properties["teacher"]["description"] == taught
    assert properties["losses"]["description"] == "the loss terms; the loss is their weighted sum."


def test_no_definition_is_missing_or_left_over():
    schema = config_schema()
    text = json.dumps(schema)
    referred = {reference for reference in schema["$defs"] if f'"#/$defs/{reference}"' in text}
    assert referred == schema["$defs"].keys()
    assert text.count('"$ref"') == sum(text.count(f'"#/$defs/{name}"') for name in referred)
