"""What a card tells of a model."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from kdpipe.artifacts.sums import SUMS
from kdpipe.cards.card import Cards
from kdpipe.cards.chain import steps_to, told
from kdpipe.cards.loading import label_names
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.reporting.results import collect_results

MEASURED = {
    "format": "torch",
    "batch": 32,
    "length": 128,
    "threads": 1,
    "warmup": 3,
    "repeats": 20,
    "median_seconds": 0.0123,
    "p95_seconds": 0.02,
    "peak_bytes": 210_000_000,
    "device": "cpu",
    "bytes": 9_000_000,
}


def card_of(graph: Graph, model: str) -> str:
    return Cards(graph, collect_results(graph)).card(model)


def data_of(card: str) -> ModelCardData:
    """Return the metadata of a card as the Hub's library reads it."""
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    return data


def test_the_metadata_are_the_hub_s(example: Graph) -> None:
    data = data_of(card_of(example, "student-mrpc-2"))
    assert data.library_name == "transformers"
    assert data.tags == ["kdpipe", "distillation"]
    assert data.metrics == ["accuracy"]
    assert data.model_name == "student-mrpc-2"
    found = {(r.dataset_name, r.dataset_split, r.metric_type): r.metric_value for r in data.eval_results}
    assert found == {
        ("mrpc", "validation", "accuracy"): 0.82,
        ("mrpc", "test", "accuracy"): 0.77,
    }
    assert "base_model" not in data.to_dict()
    assert "license" not in data.to_dict()


def test_scores_stand_beside_their_mean_over_runs(example: Graph) -> None:
    card = card_of(example, "student-mrpc-2")
    assert "| mrpc | validation | accuracy | 0.8200 | 40 | 0.8400 ± 0.0529 (3 runs) |" in card
    assert "The runs are the models `student-mrpc-{seed}`, which differ only in seed." in card
    alone = card_of(example, "teacher-mrpc")
    assert "| mrpc | test | accuracy | 0.8000 | 20 |\n" in alone
    assert "runs" not in alone


def test_a_median_is_called_so(config: dict[str, Any], make_results: Any) -> None:
    config["report"]["statistic"] = "median"
    card = card_of(make_results(config), "student-mrpc-2")
    assert "| median ± deviation over runs |" in card
    assert "0.8200 ± 0.0529 (3 runs)" in card


def test_published_values_need_no_scores_for_a_card(
    config: dict[str, Any], make_results: Any, tmp_path: Path
) -> None:
    file = tmp_path / "published.csv"
    file.write_text("model,dataset,metric,value\nstudent-mrpc-1,mrpc,accuracy,0.9\n")
    config["report"]["published"] = str(file)
    graph = make_results(config)
    results = collect_results(graph, [("student-mrpc-2", "mrpc")])
    assert "| 0.8200 | 40 |\n" in Cards(graph, results).card("student-mrpc-2")


def test_each_step_of_the_chain_is_told(example: Graph) -> None:
    card = card_of(example, "student-mrpc-2")
    steps = card[card.index("## How it was made") :]
    assert "| base | pretrain |  |  | text | 42 | 100 |" in steps
    assert "| init | extract | base |  |  | 42 |  |" in steps
    assert "| student-mrpc-2 | distill | init | teacher-mrpc | mrpc | 2 | 100 |" in steps
    (text,) = re.findall(r"```yaml\n(.*?)```", steps, re.DOTALL)
    settings = yaml.safe_load(text)
    assert [*settings] == ["base", "init", "student-mrpc-2"]
    assert settings["init"] == {"extract": {"model": "base", "layers": "first:1"}}
    assert settings["student-mrpc-2"]["distill"]["losses"][1]["weight"] == 2
    assert "kdpipe made it by `distill`, with teacher-mrpc as teacher." in card
    assert "Made with python " in card


def test_a_chosen_model_is_made_of_the_model_that_was_chosen(pruning: Graph) -> None:
    manifest = pruning.layout.model("maxi") / "manifest.json"
    before = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(before), "chosen": "maxi-0.8"}))
    steps = steps_to(pruning, "maxi")
    manifest.write_text(before)
    assert [step.model for step in steps] == [
        "base",
        "teacher",
        "ta-init-0.8",
        "ta-0.8",
        "maxi-init-0.8",
        "maxi-0.8",
        "maxi",
    ]


def test_a_pruned_and_distilled_model_has_both_tags(pruning: Graph) -> None:
    assert data_of(card_of(pruning, "mini-1")).tags == ["kdpipe", "distillation", "pruning"]
    assert data_of(card_of(pruning, "narrow")).tags == ["kdpipe", "pruning"]


def test_a_created_model_has_only_the_tokenizer_of_another(config: dict[str, Any], make_results: Any) -> None:
    architecture = config["models"]["base"]["pretrain"]["architecture"]
    config["models"] = {
        "base": config["models"]["base"],
        "made": {"create": {"architecture": architecture, "tokenizer": "base"}},
    }
    assert [step.model for step in steps_to(make_results(config), "made")] == ["made"]


def test_models_without_scores_have_cards(example: Graph) -> None:
    card = card_of(example, "init")
    assert "Nothing scores this model." in card
    assert data_of(card).eval_results is None
    assert Cards(example, collect_results(example, ())).card("init") == card


def test_latency_is_told_where_it_was_measured(config: dict[str, Any], make_results: Any) -> None:
    config["measure"] = {"models": ["init"]}
    graph = make_results(config)
    assert "## Latency" not in card_of(graph, "init")
    for model in ("init", "base"):
        folder = graph.layout.measurement(model)
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([MEASURED]), folder / "measurements.parquet")
    # The config has named this model before, and names it no more.
    assert "## Latency" not in card_of(graph, "base")
    assert "| torch | 32 | 128 | 1 | 12.30 ms | 20.00 ms | 20 after 3 | 9.0 MB | 210 MB | cpu |" in card_of(
        graph, "init"
    )


def test_a_model_of_the_hub_is_named_as_the_base(config: dict[str, Any], make_results: Any) -> None:
    config["models"] = {
        "base": {"load": {"path": "someone/bert"}},
        "tuned": {"finetune": {"model": "base", "dataset": "mrpc"}},
        "cut": {"extract": {"model": "base", "layers": [0], "evaluate": []}},
    }
    config["datasets"] = {"mrpc": {"source": "glue", "name": "MRPC", "path": "MRPC"}}
    config["matrix"] = {}
    graph = make_results(config)
    tuned = data_of(card_of(graph, "tuned")).to_dict()
    assert (tuned["base_model"], tuned["base_model_relation"]) == ("someone/bert", "finetune")
    assert tuned["datasets"] == ["nyu-mll/glue"]
    dataset = tuned["model-index"][0]["results"][0]["dataset"]
    assert dataset == {"name": "mrpc", "type": "nyu-mll/glue", "config": "mrpc", "split": "validation"}
    cut = data_of(card_of(graph, "cut")).to_dict()
    assert cut["base_model"] == "someone/bert"
    assert "base_model_relation" not in cut
    assert data_of(card_of(graph, "base")).to_dict()["base_model"] == "someone/bert"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("---\nlicense: mit\nlanguage: [en, de]\n---\n# A", {"license": "mit", "language": ["en", "de"]}),
        ("---\nlicense: {a: 1}\ntags: [x]\n---\n", {}),
        ("# A model without metadata", {}),
        ("---\na: [\n---\n", {}),
        ("---\n- a\n---\n", {}),
    ],
)
def test_licence_and_language_come_from_the_card_of_the_loaded_model(
    loaded: Any, classifier: Path, given: str, taken: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for file in classifier.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "README.md").write_text(given)
    graph = loaded({"mine": folder})
    data = data_of(Cards(graph, collect_results(graph, ())).card("mine")).to_dict()
    assert {name: data[name] for name in ("license", "language") if name in data} == taken
    assert "base_model" not in data


def test_no_folder_of_the_user_s_machine_is_told(loaded: Any, classifier: Path, tmp_path: Path) -> None:
    graph = loaded({"mine": classifier})
    card = Cards(graph, collect_results(graph, ())).card("mine")
    assert str(classifier.parent) not in card
    assert str(tmp_path) not in card
    assert f"| mine | load | {classifier.name} |" in card
    assert told({"a": ["/home/me/x/", "~/y", "../z", "owner/name"], "b": None, "c": 1}) == {
        "a": ["x", "y", "z", "owner/name"],
        "c": 1,
    }


def test_a_model_that_was_changed_has_no_card(config: dict[str, Any], make_results: Any) -> None:
    graph = make_results(config)
    cards = Cards(graph, collect_results(graph))
    (graph.layout.model("init") / "config.json").write_text("{}")
    with pytest.raises(KdpipeError, match=r"config\.json is not what its stage wrote"):
        cards.card("init")
    (graph.layout.model("base") / SUMS).unlink()
    with pytest.raises(KdpipeError, match="base is no finished artifact"):
        cards.card("base")


@pytest.mark.parametrize(
    ("architecture", "labels", "names"),
    [
        ("BertForSequenceClassification", ["no", "yes"], ["`no`", "`yes`"]),
        ("BertForTokenClassification", ["O", "B-LOC", "I-LOC"], ["`O`", "`B-LOC`", "`I-LOC`"]),
        # One number, and a model that gives tokens.
        ("BertForSequenceClassification", ["LABEL_0"], []),
        ("BertForMaskedLM", ["LABEL_0", "LABEL_1"], []),
    ],
)
def test_labels_are_named_in_their_order(
    tmp_path: Path, architecture: str, labels: list[str], names: list[str]
) -> None:
    id2label = {str(number): label for number, label in enumerate(labels)}
    config = {"model_type": "bert", "architectures": [architecture], "id2label": id2label}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert label_names(tmp_path) == names
