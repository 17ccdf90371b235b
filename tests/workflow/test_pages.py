"""Who follows a page of the documentation comes to its end, command by command; the pages make a site."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdpipe.commands.new import OFFLINE
from kdpipe.models.creation import create_language_model, train_wordpiece
from kdpipe.models.loading import save_model
from tests.conftest import ARCHITECTURE, sentences
from tests.pages import DOCS, PAGES, ROOT, blocks, is_followed
from tests.workflow.conftest import write_config

pytestmark = pytest.mark.slow
FOLLOWED = [page for page in PAGES if is_followed(page)]


def followed(page: Path, folder: Path, packages: Path) -> str:
    """Write the files of a page, run its commands and its Python, and return what they print."""
    folders = (Path(sys.executable).parent, os.environ["PATH"])
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(map(str, folders)),
        "PYTHONPATH": os.pathsep.join(map(str, (packages, ROOT))),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("KDPIPE_DATA", None)
    printed = []
    for block in blocks(page):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
            continue
        interpreters = {"sh": ["bash", "-e"], "python": [sys.executable]}
        if block.language in interpreters and not (block.needs or block.tested):
            command = [*interpreters[block.language], "-c", block.text]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
            printed.append(done.stdout)
    return "".join(printed)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package like the extra `offline`, whose model has as many layers, but is tiny."""
    folder = tmp_path_factory.mktemp("packages")
    model = folder / OFFLINE / "model"
    model.mkdir(parents=True)
    (folder / OFFLINE / "__init__.py").touch()
    tokenizer = train_wordpiece(lambda: sentences(200, seed=1), vocab_size=80, max_length=256)
    shape = {**ARCHITECTURE, "num_hidden_layers": 6, "max_position_embeddings": 256}
    save_model(create_language_model("bert", shape, len(tokenizer), seed=7), tokenizer, model)
    return folder


@pytest.fixture
def place(tmp_path: Path, config: dict[str, Any], classifier: Path) -> Path:
    """A folder with what pages take for the reader's: a config, a model, and a file for each recipe."""
    write_config(tmp_path / "my.yaml", config)
    (tmp_path / "my-model").symlink_to(classifier)
    texts = sentences(80, seed=20)
    tables: dict[str, Sequence[tuple[str, object]]] = {
        "reviews": [(text, ("negative", "positive")["good" in text]) for text in texts],
        "ratings": [(text, text.count("good") / 4) for text in texts],
    }
    for name, rows in tables.items():
        write_table(tmp_path / f"{name}.csv", ("text", "label"), rows)
    for name, table in {"pairs": "reviews", "similar": "ratings"}.items():
        pairs = [(text, texts[-place], label) for place, (text, label) in enumerate(tables[table])]
        write_table(tmp_path / f"{name}.csv", ("text_a", "text_b", "label"), pairs)
    words = "\n\n".join("\n".join(f"{word} O" for word in text.split()) for text in texts)
    (tmp_path / "words.conll").write_text(words.replace("film O", "film B-WORK"))
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    paragraphs = [
        {"context": text, "qas": [{"id": str(number), "question": "what?", "answers": [_first_word(text)]}]}
        for number, text in enumerate(texts)
    ]
    articles = [{"title": "films", "paragraphs": paragraphs}]
    (tmp_path / "questions.json").write_text(json.dumps({"version": "1.1", "data": articles}))
    return tmp_path


def write_table(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def _first_word(text: str) -> dict[str, object]:
    return {"text": text.split()[0], "answer_start": 0}


@pytest.mark.parametrize(
    "page", [page for page in FOLLOWED if page.stem != "tutorial"], ids=lambda page: page.stem
)
def test_the_commands_of_a_page_run(page: Path, place: Path, packages: Path) -> None:
    assert followed(page, place, packages)


def test_the_tutorial_leads_to_a_student(tmp_path: Path, packages: Path) -> None:
    page = DOCS / "tutorial.md"
    assert page in FOLLOWED
    printed = followed(page, tmp_path, packages)
    [shown] = (yaml.safe_load(block.text) for block in blocks(page) if block.text.startswith("models:"))
    written = yaml.safe_load(
        (tmp_path / "config.yaml").read_text().replace("temperature: 4", "temperature: 2")
    )
    assert shown["models"] == written["models"]
    assert "settings.losses.0.temperature was 2.0 and is 4.0" in printed
    # What a page shows of a run has the columns of a run.
    shown_heads, heads = (
        {" ".join(line.split()) for line in text.splitlines() if line.split()[:2] == ["data", "parameters"]}
        for text in (page.read_text(encoding="utf-8"), printed)
    )
    assert shown_heads == heads
    assert re.search(r"^best +[\d,]+ +1 ", printed, re.MULTILINE)
    assert re.search(r"'label': '(matplotlib|networkx|pandas|sklearn)'", printed)
    assert printed.rstrip().endswith("removed")
    assert (tmp_path / "results/report/report.html").stat().st_size > 10_000


def test_the_pages_make_a_site_that_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fresh-env", "--fail-on-warning"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, DOCS, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [*tmp_path.rglob("*.html")]
    assert {f"{page.stem}.html" for page in PAGES[2:]} <= {page.name for page in pages}
    for file in [*pages, *tmp_path.rglob("*.css")]:
        text = file.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*", text)
        assert fetched + re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", text) == [], file
