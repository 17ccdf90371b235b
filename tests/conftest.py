"""Tiny real models, tokenizers and datasets that the tests share."""

import gc
import json
import logging
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import BertForMaskedLM, BertForSequenceClassification, PreTrainedTokenizerFast

from kdpipe.artifacts.sums import write_sums
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.conll import ConllSource
from kdpipe.data.sources.glue import GlueSource
from kdpipe.data.sources.squad import SquadSource
from kdpipe.data.sources.table import TableSource
from kdpipe.data.sources.text import TextSource
from kdpipe.models import precision
from kdpipe.models.creation import create_language_model, train_wordpiece
from kdpipe.models.loading import Head, load_with_head, save_model

WORDS = [
    "the",
    "a",
    "of",
    "film",
    "plot",
    "was",
    "is",
    "story",
    "actor",
    "scene",
    "long",
    "short",
    "and",
    "but",
]
WORDS += ["good", "great", "warm", "bad", "dull", "cold"]
ARCHITECTURE = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
# Linux describes a processor that is faster in a precision by these flags.
PROCESSORS = {"bfloat16": "flags\t\t: avx512_bf16 amx_bf16\n", "float32": "flags\t\t: avx2 avx512_bf16\n"}
CLASSIFICATION = Head("classification", ("0", "1"))
QUESTION_ANSWERING = Head("question_answering")


def pytest_collection_finish() -> None:
    """Spare every test the time that what torch and transformers have imported takes.

    A garbage collection goes through all of it, half a second long. And pytest attaches its handlers, several
    times for each test, to each logger that torch keeps from the root.
    """
    gc.collect()
    gc.freeze()
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch")]:
        logging.getLogger(name).propagate = True


@pytest.fixture(scope="session", autouse=True)
def processor_of_the_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run tests as on a processor that is faster in `KDPIPE_TEST_PRECISION`, if this variable is set."""
    wanted = os.environ.get("KDPIPE_TEST_PRECISION")
    with pytest.MonkeyPatch.context() as patch:
        if wanted:
            file = tmp_path_factory.mktemp("processor") / "cpuinfo"
            file.write_text(PROCESSORS[wanted])
            patch.setattr(precision, "CPUINFO", file)
        yield


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes the processor look faster in a precision."""
    if torch.cuda.is_available():
        pytest.skip("a GPU decides the precision")

    def become(faster_in: str) -> None:
        file = tmp_path / f"{faster_in}.cpuinfo"
        file.write_text(PROCESSORS[faster_in])
        monkeypatch.setattr(precision, "CPUINFO", file)

    return become


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a text, by default as config.yaml, and returns its path."""

    def write_file(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB, mounted for the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def sentences(count: int, seed: int, shortest: int = 4, longest: int = 30) -> list[str]:
    """Return sentences of random words, the same for the same seed."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(shortest, longest))) for _ in range(count)]


@pytest.fixture(scope="session")
def wordpiece() -> PreTrainedTokenizerFast:
    return train_wordpiece(lambda: sentences(200, seed=1), vocab_size=80, max_length=64)


@pytest.fixture(scope="session")
def language_model(wordpiece: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a 4-layer BERT with a head that predicts tokens."""
    folder = tmp_path_factory.mktemp("language_model")
    model = create_language_model("bert", ARCHITECTURE, len(wordpiece), seed=7)
    assert isinstance(model, BertForMaskedLM)
    save_model(model, wordpiece, folder)
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(
    language_model: Path, wordpiece: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a 4-layer BERT with a head for the labels 0 and 1."""
    folder = tmp_path_factory.mktemp("classifier")
    model = load_with_head(language_model, CLASSIFICATION, seed=7)
    assert isinstance(model, BertForSequenceClassification)
    save_model(model, wordpiece, folder)
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def sst2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SST-2 in its official layout: a film is good if its sentence has more warm words."""
    folder = tmp_path_factory.mktemp("SST-2")
    for name, count, seed in (("train", 96, 2), ("dev", 40, 3)):
        rows = [f"{text}\t{_label(text)}" for text in sentences(count, seed)]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return folder


def _label(text: str) -> int:
    words = text.split()
    return int(
        sum(w in ("good", "great", "warm") for w in words) > sum(w in ("bad", "dull", "cold") for w in words)
    )


@pytest.fixture(scope="session")
def task_data(sst2: Path, language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the encoded SST-2."""
    folder = tmp_path_factory.mktemp("task_data")
    source = GlueSource(task="classification", name="SST-2", path=sst2)
    write_dataset(folder, source, language_model / "tokenizer.json", task="classification", max_length=32)
    write_sums(folder)
    return folder


def write_table(folder: Path, task: str, tokenizer: Path, splits: dict[str, list[str]]) -> Path:
    """Encode the rows of each split, texts and labels between tabs; several labels have blanks between."""
    files = {}
    for name, rows in splits.items():
        files[name] = folder / f"{name}.tsv"
        files[name].write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    separator = " " if task == "multi_label" else None
    source = TableSource(task=task, text="text", label="label", separator=separator, files=files)
    write_dataset(folder, source, tokenizer / "tokenizer.json", task=task, max_length=32)
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def topic_data(language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of encoded texts; their labels are the words `film` and `story`, if the text has them."""

    def topics(text: str) -> str:
        return " ".join(sorted({"film", "story"} & set(text.split())))

    splits = {
        name: [f"{text}\t{topics(text)}" for text in sentences(count, seed, longest=10)]
        for name, count, seed in (("train", 96, 10), ("validation", 30, 11))
    }
    splits["plain"] = ["a good plot\t", "the bad scene\t"]
    return write_table(tmp_path_factory.mktemp("topics"), "multi_label", language_model, splits)


@pytest.fixture(scope="session")
def number_data(language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of encoded texts; the label of a text is the share of `film` among its words."""
    splits = {
        name: [f"{text}\t{text.split().count('film') / len(text.split()):.3f}" for text in texts]
        for name, texts in (("train", sentences(64, 13)), ("validation", sentences(20, 14)))
    }
    return write_table(tmp_path_factory.mktemp("numbers"), "regression", language_model, splits)


@pytest.fixture(scope="session")
def ner_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files in CoNLL's columns: warm and cold words are entities of two types."""
    folder = tmp_path_factory.mktemp("conll")
    types = {"good": "WARM", "great": "WARM", "warm": "WARM", "bad": "COLD", "dull": "COLD", "cold": "COLD"}
    for name, count, seed in (("train", 64, 6), ("valid", 30, 7)):
        tagged = [
            "".join(f"{word} B-{types[word]}\n" if word in types else f"{word} O\n" for word in text.split())
            for text in sentences(count, seed)
        ]
        (folder / f"{name}.txt").write_text("\n".join(tagged), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def ner_data(ner_files: Path, language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the encoded words; some sentences are cut."""
    folder = tmp_path_factory.mktemp("ner_data")
    source = ConllSource(task="token_classification", path=ner_files)
    write_dataset(
        folder, source, language_model / "tokenizer.json", task="token_classification", max_length=48
    )
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def reader(
    language_model: Path, wordpiece: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a 4-layer BERT with a head for question answering."""
    folder = tmp_path_factory.mktemp("reader")
    save_model(load_with_head(language_model, QUESTION_ANSWERING, seed=7), wordpiece, folder)
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files like SQuAD v2.0's: questions ask which words follow; every fourth has no answer."""
    folder = tmp_path_factory.mktemp("squad")
    for name, count, seed in (("train", 64, 8), ("dev", 32, 9)):
        paragraphs = [_paragraph(text, i) for i, text in enumerate(sentences(count, seed, 6, 48))]
        content = {"version": "v2.0", "data": [{"title": "films", "paragraphs": paragraphs}]}
        (folder / f"{name}-v2.0.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _paragraph(text: str, number: int) -> dict[str, object]:
    asked, *answer = text.split()[2:5]
    start = len(" ".join(text.split()[:3])) + 1
    answers = [] if number % 4 == 3 else [{"text": " ".join(answer), "answer_start": start}]
    question = {"id": f"q{number}", "question": f" what is {asked}", "answers": answers}
    return {"context": text, "qas": [{**question, "is_impossible": not answers}]}


@pytest.fixture(scope="session")
def question_data(squad: Path, language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the encoded questions; a third of the contexts take several windows."""
    folder = tmp_path_factory.mktemp("question_data")
    source = SquadSource(task="question_answering", path=squad)
    tokenizer = language_model / "tokenizer.json"
    write_dataset(folder, source, tokenizer, task="question_answering", max_length=40, stride=8)
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def text_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text files."""
    folder = tmp_path_factory.mktemp("text")
    for split, count, seed in (("train", 80, 4), ("valid", 30, 5)):
        lines = sentences(count, seed, shortest=14)
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def text_data(text_files: Path, language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the encoded text."""
    folder = tmp_path_factory.mktemp("text_data")
    source = TextSource(task="language_modeling", path=text_files)
    write_dataset(folder, source, language_model / "tokenizer.json", task="language_modeling", max_length=32)
    write_sums(folder)
    return folder
