"""The same questions as two tokenizers encode them: the places of answers match."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from kdpipe.data.counterpart import Counterpart
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.squad import SquadSource
from kdpipe.errors import DataError
from kdpipe.models.creation import train_wordpiece
from tests.conftest import sentences

Encode = Callable[..., EncodedSplit]
# Lengths at which each tokenizer has all of most contexts in one window.
LONG = [("words", 60), ("letters", 250), ("joined", 200), ("apart", 350)]


@pytest.fixture(scope="module")
def tokenizers(language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Files of tokenizers: of words, of letters, and of bytes, with blanks apart or joined to words."""
    folder = tmp_path_factory.mktemp("tokenizers")
    train_wordpiece(lambda: sentences(20, 6), vocab_size=45, max_length=64).save_pretrained(
        folder / "letters"
    )
    files = {name: folder / f"{name}.json" for name in ("joined", "apart")}
    for name, size in (("joined", 330), ("apart", 262)):
        bytes_ = Tokenizer(BPE())
        bytes_.pre_tokenizer = ByteLevel(add_prefix_space=False)
        options: dict[str, Any] = {"initial_alphabet": ByteLevel.alphabet(), "show_progress": False}
        bytes_.train_from_iterator(sentences(20, 6), BpeTrainer(vocab_size=size, **options))
        bytes_.save(str(files[name]))
    return {
        **files,
        "words": language_model / "tokenizer.json",
        "letters": folder / "letters" / "tokenizer.json",
    }


@pytest.fixture
def encode(squad: Path, tokenizers: Mapping[str, Path], tmp_path: Path) -> Encode:
    """A function that encodes questions with a tokenizer."""

    def encode(name: str, max_length: int = 250, files: Path = squad, stride: int = 8) -> EncodedSplit:
        folder = tmp_path / f"{name}-{max_length}-{files.name}"
        folder.mkdir(exist_ok=True)
        source = SquadSource(task="question_answering", path=files)
        options: dict[str, Any] = {"task": "question_answering", "max_length": max_length, "stride": stride}
        write_dataset(folder, source, tokenizers[name], **options)
        return EncodedSplit(folder, "train")

    return encode


@pytest.mark.parametrize(("theirs", "ours"), [
    *((one, other) for one in LONG for other in LONG if one != other),
    # Of these, some contexts take several windows.
    (("letters", 250), ("words", 40)),
    (("words", 60), ("letters", 90)),
])  # fmt: skip
def test_where_their_answer_starts_and_ends_ours_does(
    encode: Encode, theirs: tuple[str, int], ours: tuple[str, int]
) -> None:
    splits = encode(*theirs), encode(*ours)
    counterpart = Counterpart(*splits)
    indices = np.random.default_rng(0).permutation(np.flatnonzero(counterpart.usable))
    assert len(indices) > len(splits[1]) / 2
    matches = counterpart.matches(indices)
    starts, ends = (dict(matches[name].T.tolist()) for name in ("starts", "ends"))
    found = [(starts[first], ends[last]) for first, last in answers(counterpart, indices)]
    nowhere = {place: (place, place) for place in matches["starts"][1, : len(indices)].tolist()}
    for pair, expected in zip(found, answers(splits[1], indices), strict=True):
        # A window that does not hold the whole answer has none.
        assert pair == expected or (nowhere.get(expected[0]) == expected and expected[0] in pair)


def answers(split: EncodedSplit, indices: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Return the first and the last token of the answers, counted through all windows."""
    lengths = split.lengths[indices].astype(np.int64)
    places = (np.cumsum(lengths) - lengths)[:, None] + split.column("labels")[indices]
    return [(first, last) for first, last in places.tolist()]


@pytest.mark.parametrize("length", [60, 40])
def test_tokens_match_that_hold_the_same_character(encode: Encode, length: int) -> None:
    theirs, ours = encode("letters"), encode("words", length)
    counterpart = Counterpart(theirs, ours)
    indices = np.flatnonzero(counterpart.usable)
    matches = counterpart.matches(indices)
    found = {name: {tuple(pair) for pair in matches[name].T.tolist()} for name in ("starts", "ends")}
    assert found == slowly_matched(counterpart, ours, indices)
    lengths = [split.lengths[indices].sum() for split in (counterpart, ours)]
    assert [len(matches[name]) for name in ("theirs", "ours")] == lengths


def slowly_matched(
    theirs: EncodedSplit, ours: EncodedSplit, indices: np.ndarray[Any, Any]
) -> dict[str, set[tuple[int, int]]]:
    """Return the matches, character by character."""
    pairs: dict[str, set[tuple[int, int]]] = {"starts": set(), "ends": set()}
    bases = [0, 0]
    for index in indices.tolist():
        row = np.array([index])
        spans = [
            np.stack([split.column("starts")[row], split.column("ends")[row]], axis=1).tolist()
            for split in (theirs, ours)
        ]
        for each in pairs.values():
            each.add((bases[0], bases[1]))
        for place, (start, end) in enumerate(spans[0]):
            if start < 0:
                continue
            wanted = {"starts": start, "ends": end - 1}
            for name, character in wanted.items():
                held = [other for other, (first, last) in enumerate(spans[1]) if first <= character < last]
                # What is outside our window is at its first token.
                pairs[name] |= {(bases[0] + place, bases[1] + other) for other in held or [0]}
        bases = [base + len(each) for base, each in zip(bases, spans, strict=True)]
    return pairs


def test_a_window_has_a_window_of_theirs_with_all_of_its_context(encode: Encode) -> None:
    theirs, ours = encode("letters", 120), encode("words", 40)
    counterpart = Counterpart(theirs, ours)
    held = 0
    for row, usable in enumerate(counterpart.usable.tolist()):
        own, other = piece(ours, row), piece(theirs, int(counterpart.rows[row]))
        assert own[0] == other[0]
        holds = other[1] <= own[1] and own[2] <= other[2]
        assert usable == holds
        held += holds
    assert 0 < held < len(ours)


def piece(split: EncodedSplit, row: int) -> tuple[int, int, int]:
    """Return the question of a window, and the characters at which its piece starts and ends."""
    place = np.array([row])
    starts, ends = split.column("starts")[place], split.column("ends")[place]
    return int(split.column("example")[place][0]), int(starts[starts >= 0].min()), int(ends.max())


def test_a_context_without_tokens_has_an_answer_nowhere(encode: Encode, tmp_path: Path) -> None:
    files = other_files(tmp_path, ["\u200b"])
    counterpart = Counterpart(encode("letters", files=files), encode("words", files=files))
    assert counterpart.usable.all()
    matches = counterpart.matches(np.array([0]))
    assert matches["starts"].tolist() == matches["ends"].tolist() == [[0], [0]]


def test_other_questions_are_refused(encode: Encode, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has other examples than"):
        Counterpart(encode("letters"), encode("words", files=other_files(tmp_path)))


@pytest.mark.parametrize(("theirs", "ours"), [(("words", 60), ("apart", 40)), (("apart", 40), ("words", 60))])
def test_a_window_of_blanks_has_no_window_of_another_question(
    encode: Encode, tmp_path: Path, theirs: tuple[str, int], ours: tuple[str, int]
) -> None:
    blanks = " " * 90
    files = other_files(tmp_path, [f"a film{blanks}a film", "a film", f"a film{blanks}", "a film", blanks])
    splits = encode(*theirs, files=files), encode(*ours, files=files)
    counterpart = Counterpart(*splits)
    assert len(splits[0]) != len(splits[1])
    questions = [split.column("example").values().tolist() for split in (counterpart, splits[1])]
    assert questions[0] == questions[1]
    matches = counterpart.matches(np.flatnonzero(counterpart.usable))
    assert len(matches["ours"]) == splits[1].lengths[counterpart.usable].sum()


def other_files(folder: Path, contexts: Sequence[str] = ("a film",)) -> Path:
    """Write a file like SQuAD v2.0's with a question on each context, which has no answer."""
    made = folder / "other"
    made.mkdir()
    question = {"question": "what", "answers": [], "is_impossible": True}
    paragraphs = [
        {"context": context, "qas": [{**question, "id": f"q{number}"}]}
        for number, context in enumerate(contexts)
    ]
    content = {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
    (made / "train-v2.0.json").write_text(json.dumps(content), encoding="utf-8")
    return made
