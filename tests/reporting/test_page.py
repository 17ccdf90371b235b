import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kdpipe.durations import duration
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.page import render_page, settings_text
from kdpipe.reporting.results import collect_results

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Checker(HTMLParser):
    """Collects attributes, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.targets: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [tag] if tag not in VOID else []
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.targets.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def render(graph: Graph) -> str:
    return render_page(graph, aggregate(collect_results(graph), graph))


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def page(example: Graph) -> str:
    return render(example)


def test_the_page_needs_nothing_besides_itself(page: str):
    checker = check(page)
    assert not checker.tags & {"link", "img", "iframe", "object"}
    assert "<script>" in page
    assert "<script " not in page
    # Beside the page lie all numbers.
    assert {target for target in checker.targets if not target.startswith("#")} == {"results.csv"}


def test_links_within_the_page_have_one_target(page: str):
    checker = check(page)
    assert len(checker.ids) == len(set(checker.ids))
    assert {target[1:] for target in checker.targets if target != "results.csv"} <= set(checker.ids)
    assert set(re.findall(r"url\(#(\w+)\)", page)) <= set(checker.ids)
    assert "url(http" not in page
    assert "@import" not in page


def test_equal_inputs_give_equal_bytes(page: str, example: Graph):
    assert render(example) == page


def test_texts_are_escaped(config: dict[str, Any], make_results: Any):
    config["models"] = {"base": config["models"]["base"]}
    config["report"]["title"] = "<b>A & B</b>"
    config["datasets"]["text"]["packages"] = ["<script>"]
    page = render(make_results(config))
    assert "<h1>&lt;b&gt;A &amp; B&lt;/b&gt;</h1>" in page
    assert "&lt;script&gt;" in page
    check(page)


def test_the_table_says_what_the_numbers_are(config: dict[str, Any], make_results: Any):
    config["report"]["baseline"] = "teacher-{task}"
    del config["models"]["student-{task}-{seed}"]
    page = render(make_results(config))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index('id="results"') :]))
    assert "test held out n = 20 validation selection n = 40" in text
    assert "plain-mrpc-{seed} finetune 21 3 0.6800 ± 0.0361 \N{MINUS SIGN}0.1200 ± 0.0361" in text
    assert "perplexity ↓" in text
    assert '<td class="number score best" data-value="0.85"><span class="average">0.8500</span>' in page


def test_examples_that_trainings_left_out_are_told(config: dict[str, Any], make_results: Any):
    graph = make_results(config)
    assert "left out of trainings" not in render(graph)
    name = next(name for name, node in graph.nodes.items() if node.stage == "distill")
    manifest = graph.layout.model(name) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "examples_left_out": 1234}))
    assert f"were left out of trainings: 1,234 of <code>{name}</code>." in render(graph)


def test_models_without_evaluations_are_reported(config: dict[str, Any], make_results: Any):
    config["models"] = {"base": config["models"]["base"]}
    config["models"]["base"]["pretrain"]["evaluate"] = []
    page = render(make_results(config))
    assert "No model was evaluated." in page
    assert 'id="curves"' in page
    check(page)


def test_pruning_is_drawn(pruning: Graph):
    page = render(pruning)
    checker = check(page)
    assert "pruning" in checker.ids
    assert "#pruning" in checker.targets
    assert 'fill-opacity="0.250"><title>layer 0, 0: 0.2</title>' in page
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index('id="pruning"') :]))
    assert "narrow heads 2 2 4 neurons 4 4 8" in text
    assert "assistant-{seed} heads 2 0.5 2.5 neurons 3 0 3" in text
    assert "maxi select 1 6 782 632 52.0 s 1,032 1 min 32 s" in text


def test_without_pruning_no_section_is_about_it(page: str):
    assert 'id="pruning"' not in page


def test_models_with_the_same_parts_share_a_table(page: str):
    """The tree writes 20 + 2 weights for a model of two blocks, and 20 + 1 for a model of one."""
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index('id="models"') :]))
    assert "base, teacher-mrpc, teacher-sst2 : 0.00 MB" in text
    assert "init, plain-mrpc-{seed}, " in text
    assert "module parameters share memory bias 2 9.09 % 0.00 MB embeddings 20 90.91 % 0.00 MB" in text


def test_tied_parameters_are_marked(config: dict[str, Any], make_results: Any):
    config["models"] = {"base": config["models"]["base"]}
    graph = make_results(config)
    words, bias = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
    tensors: dict[str, NDArray[Any]] = {
        name: np.zeros(4) for name in (words, bias, "cls.predictions.transform.dense.bias")
    }
    save_file(tensors, graph.layout.model("base") / "model.safetensors")
    assert f"tied to {bias}, {words}<" in render(graph)


def test_settings_are_yaml_with_defaults_filled_in(example: Graph):
    texts = settings_text(example.document, "models")
    assert yaml.safe_load(texts["teacher-{task}"]) == {
        "finetune": {"training": {"num_train_epochs": 2}, "model": "base", "dataset": "{task}"}
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185.2, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str):
    assert duration(seconds) == text


def test_published_values_of_other_models_are_shown_on_own_datasets_first(
    config: dict[str, Any], make_results: Any, tmp_path: Path
) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        "model,dataset,split,metric,value,paper\n"
        "TinyBERT4,MRPC,test,f1,0.864,<One>\nTinyBERT4,CoLA,test,matthews,0.441,Two\n"
        "teacher-mrpc,mrpc,validation,accuracy,0.9,Three\n"
    )
    config["report"]["published"] = str(path)
    page = render(make_results(config))
    check(page)
    section = page[page.index('<section id="published">') :]
    section = section[: section.index("</section>")]
    assert section.index("0.864") < section.index("On other datasets: 1") < section.index("0.441")
    assert "&lt;One&gt;" in section
    assert "Three" not in section


def test_the_page_says_what_is_averaged(config: dict[str, Any], make_results: Any):
    config["report"] |= {"statistic": "median", "baseline": "teacher-{task}"}
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render(make_results(config))))
    assert "Median ± sample standard deviation over runs" in text
    assert "The best median of each column" in text
    assert "Below each median is the median difference to" in text
