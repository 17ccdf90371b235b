"""Time of preprocessing 10,000 questions on contexts, and of the search for their answers in logits.

    python benchmarks/squad.py [--squad FILE] [--questions N] [--processes N] [--json FILE]

Preprocessing is `write_dataset`: read and check the JSON, start the processes, tokenize, cut into windows of
384 tokens with a stride of 128, write. The search is all work of scoring but the model: the n best spans of
every window, the best span over a question's windows, the texts, F1 and exact match. The logits are random,
and their draws are not timed.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kdpipe.data.batches import padded_width
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sampling import batches_by_length
from kdpipe.data.sources.pydoc import PydocSource
from kdpipe.data.sources.squad import SquadSource
from kdpipe.evaluation.task import BATCH_SIZE
from kdpipe.evaluation.tasks.question_answering import AnswerSearch, QuestionAnswering
from kdpipe.models.creation import train_wordpiece

VOCAB_SIZE = 8000
MAX_LENGTH, STRIDE = 384, 128
CONTEXT_WORDS, QUESTION_WORDS, ANSWER_WORDS = (50, 400), 10, 3
TARGET = 20.0


def main() -> None:
    """Measure, print the times, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--squad", type=Path, help="a file of SQuAD's format; default: made of docstrings")
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        paragraphs = read_paragraphs(options.squad) if options.squad else made_paragraphs()
        write_questions(folder / "questions.json", paragraphs, options.questions)
        result = preprocess(folder, options.processes) | find_answers(folder)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def read_paragraphs(file: Path) -> list[dict[str, Any]]:
    """Return the paragraphs of a file, with one question each."""
    content = json.loads(file.read_text(encoding="utf-8"))
    paragraphs = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
    return [{**paragraph, "qas": [question]} for paragraph in paragraphs for question in paragraph["qas"]]


def made_paragraphs() -> list[dict[str, Any]]:
    """Return paragraphs of docstrings' words, with one question each."""
    source = PydocSource(task="language_modeling")
    words = cycle([word for example in source.read("train") for word in example.text.split()])
    rng = random.Random(0)
    return [_paragraph(words, rng) for _ in range(2000)]


def _paragraph(words: Iterator[str], rng: random.Random) -> dict[str, Any]:
    context = list(islice(words, rng.randint(*CONTEXT_WORDS)))
    first = rng.randrange(len(context) - ANSWER_WORDS)
    text, start = " ".join(context[first : first + ANSWER_WORDS]), len(" ".join([*context[:first], ""]))
    question = " ".join(islice(words, QUESTION_WORDS))
    answers = [{"text": text, "answer_start": start}]
    return {"context": " ".join(context), "qas": [{"question": question, "answers": answers}]}


def write_questions(file: Path, paragraphs: list[dict[str, Any]], count: int) -> None:
    """Write a file with a number of questions; paragraphs may repeat."""
    numbered = [
        {**paragraph, "qas": [{**paragraph["qas"][0], "id": str(number)}]}
        for number, paragraph in enumerate(islice(cycle(paragraphs), count))
    ]
    file.write_text(json.dumps({"data": [{"paragraphs": numbered}]}), encoding="utf-8")


def preprocess(folder: Path, processes: int) -> dict[str, Any]:
    """Time `write_dataset` on the questions."""
    source = SquadSource(task="question_answering", files={"validation": folder / "questions.json"})
    contexts = [example.text_pair or "" for example in source.read("validation")]
    train_wordpiece(lambda: contexts, VOCAB_SIZE, MAX_LENGTH).save_pretrained(folder)
    start = time.perf_counter()
    written = write_dataset(
        folder,
        source,
        folder / "tokenizer.json",
        task="question_answering",
        max_length=MAX_LENGTH,
        stride=STRIDE,
        processes=processes,
    )
    seconds = time.perf_counter() - start
    facts = written["splits"]["validation"]
    counts = {name: facts[name] for name in ("examples", "rows", "tokens")}
    return {**counts, "processes": processes, "preprocess_s": seconds}


def find_answers(folder: Path) -> dict[str, Any]:
    """Time the search for answers in random logits."""
    split = EncodedSplit(folder, "validation")
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    search, seconds = AnswerSearch(split), time.perf_counter() - start
    for indices in batches_by_length(split.lengths, BATCH_SIZE):
        shape = 2 * len(indices), padded_width(split.lengths[indices], split.longest)
        logits = rng.standard_normal(shape, dtype=np.float32)
        start = time.perf_counter()
        search.add(indices, logits)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    evaluation = search.evaluation(QuestionAnswering.metrics)
    return {"find_answers_s": seconds + time.perf_counter() - start, "f1": evaluation.metrics["f1"]}


def table(result: dict[str, Any]) -> str:
    """Return the numbers as a table."""
    return (
        f"{result['examples']:,} questions, {result['rows']:,} windows,"
        f" {result['tokens'] / 1e6:.1f} M tokens\n"
        f"{'preprocess':16}{result['preprocess_s']:8.1f} s, {result['processes']} processes\n"
        f"{'find answers':16}{result['find_answers_s']:8.1f} s\n"
        f"(target: at most {TARGET:.0f} s each, on 2 cores)"
    )


if __name__ == "__main__":
    main()
