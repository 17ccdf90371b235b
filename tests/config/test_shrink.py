"""A config in small: the same graph, valid, with one value of each variable."""

from pathlib import Path

import pytest

from kdpipe.config.build import build_graph
from kdpipe.config.document import read_config
from kdpipe.config.shrink import TOKENIZER, shrink
from kdpipe.errors import ConfigError

CONFIG = Path(__file__).parents[2] / "config"
PAPERS = {
    "rosita": ["rosita.yaml"],
    "minidisc": ["minidisc.yaml"],
    "maxidisc": ["minidisc.yaml", "maxidisc.yaml"],
}


@pytest.fixture
def shrunk(tmp_path, monkeypatch):
    """A function that shrinks a shipped config where its data are not at hand; returns it and its graph."""
    monkeypatch.setenv("KDPIPE_DATA", str(tmp_path / "nothing"))

    def make(paper, **values):
        small, made_up = shrink(read_config([CONFIG / name for name in PAPERS[paper]]), tmp_path, values)
        return small, build_graph(small), [dataset.name for dataset in made_up]

    return make


@pytest.mark.parametrize("paper", PAPERS)
def test_a_shipped_config_keeps_a_model_of_each_kind(shrunk, paper):
    small, graph, made_up = shrunk(paper)
    config = read_config([CONFIG / name for name in PAPERS[paper]])
    assert {node.template for node in graph.nodes.values()} >= set(config["models"])
    assert len(graph.nodes) == len(small["models"])
    assert set(made_up) == set(graph.datasets)
    assert not {"load"} & {node.stage for node in graph.nodes.values()}


def test_models_are_as_deep_with_as_many_heads_but_narrow(shrunk):
    _, graph, _ = shrunk("rosita")
    bert, pruned = graph.facts["bert"].shape, graph.facts["pruned-cola"].shape
    assert (bert.depth, bert.width, bert.heads, bert.neurons) == (12, 48, 12, 192)
    assert (pruned.depth, pruned.heads, pruned.neurons) == (6, 2, 48)
    assert graph.nodes["pruned-cola"].settings.embedding_rank == 8
    assert {facts.tokenizer for facts in graph.facts.values()} == {TOKENIZER}


def test_trainings_take_two_steps_and_keep_the_rest(shrunk):
    _, graph, _ = shrunk("rosita")
    hidden = graph.nodes["hidden-cola-1"].settings.training.model_dump(exclude_unset=True)
    assert hidden["max_steps"] == 2
    assert (hidden["learning_rate"], hidden["lr_scheduler_type"]) == (5e-5, "constant")
    assert "num_train_epochs" not in hidden


def test_another_value_is_kept_where_it_is_asked_for(shrunk):
    small, graph, _ = shrunk("minidisc", task="conll", seed="2")
    assert list(small["matrix"]["task"]) == ["conll"]
    assert graph.facts["minidisc-conll-2"].head == "token_classification"


def test_a_value_that_is_not_there(shrunk):
    with pytest.raises(ConfigError, match=r"matrix\.task: there is no value 'wnli'"):
        shrunk("minidisc", task="wnli")


def test_data_that_are_there_are_read(tmp_path, sst2):
    config = {
        "datasets": {"task": {"source": "glue", "name": "SST-2", "path": str(sst2), "rows": 5000}},
        "models": {
            "base": {"load": {"path": "some/roberta-base"}},
            "model": {"finetune": {"model": "base", "dataset": "task"}},
        },
    }
    small, made_up = shrink(config, tmp_path, {})
    assert small["datasets"]["task"] == {"source": "glue", "name": "SST-2", "path": str(sst2), "rows": 64}
    assert [dataset.name for dataset in made_up] == ["shrunk-text"]
    assert build_graph(small).facts["model"].shape.family == "roberta"


def test_a_model_of_a_family_that_its_name_does_not_tell(tmp_path):
    with pytest.raises(ConfigError, match=r"models\.base\.load\.path: no family is known of 'some/model'"):
        shrink({"models": {"base": {"load": {"path": "some/model"}}}}, tmp_path, {})
