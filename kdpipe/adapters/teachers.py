"""Where the signals of teachers come from: runs of the teachers beside the student, or stored signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdpipe.anatomy.knowledge import Selection
from kdpipe.artifacts.sums import require, verify
from kdpipe.config.settings.base import ByColumn
from kdpipe.data.counterpart import Counterpart
from kdpipe.data.encoded import EncodedSplit, SomeRows, kept_values, read_description, rows_with
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError, ModelError, listed
from kdpipe.evaluation.scoring import task_of
from kdpipe.knowledge.choosing import selects
from kdpipe.knowledge.identity import data_digest, vocabulary_digest
from kdpipe.knowledge.stored import SelectedKnowledge
from kdpipe.models.loading import load_tokenizer
from kdpipe.plan.saved.knowledge import read_knowledge
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.signals.by_rows import KnowledgeByRows
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import Request
from kdpipe.signals.matched import MatchedAnswers


@dataclass(frozen=True)
class Source:
    """Where the signals of a teacher on a dataset come from.

    Args:
        teacher: the folder of the teacher; None where stored signals stand for it.
        data: the dataset as the teacher's tokenizer encodes it.
        stored: the folder of its stored signals; None where the teacher runs.
    """

    teacher: Path | None
    data: Path
    stored: Path | None

    @property
    def model(self) -> Path:
        """The folder of the teacher, which is there."""
        assert self.teacher is not None
        return self.teacher


def sources_of(
    settings: DistillSettings,
    teacher: list[Path],
    datasets: Mapping[str, Path],
    teacher_data: list[Path],
    knowledge: list[Path],
) -> dict[str, dict[str, Source]]:
    """Return where the signals of the teachers of each dataset come from, by dataset and teacher.

    Args:
        settings: the settings of the distillation.
        teacher: the folders of the teachers.
        datasets: the datasets as the student's tokenizer encodes them, by name.
        teacher_data: the same as the teachers' tokenizers encode them; [] where none reads other tokens.
        knowledge: the folders of stored signals; [] where the teachers run.

    Raises:
        KdpipeError: there are more folders than teachers and datasets, or fewer.
    """
    if settings.given:
        [name], (data,) = settings.teachers, datasets.values()
        _verify(settings.given)
        return {settings.datasets[0]: {name: Source(None, data, settings.given)}}
    folders = _by_name("teacher", settings.teachers, teacher)
    lessons = {f"{each.teacher} on {each.dataset}": each for each in settings.lessons}
    read = [name for name, lesson in lessons.items() if lesson.taught]
    stored = _by_name("knowledge", read, knowledge) if knowledge else {}
    encoded = _by_name("teacher-data", read, teacher_data) if teacher_data else {}
    sources: dict[str, dict[str, Source]] = {name: {} for name in datasets}
    for name, lesson in lessons.items():
        data = encoded.get(name, datasets[lesson.dataset])
        sources[lesson.dataset][lesson.teacher] = Source(folders[lesson.teacher], data, stored.get(name))
    return sources


def _verify(given: Path) -> None:
    """Raise KdpipeError if a folder of stored signals is not as it was written; no stage makes it here."""
    try:
        verify(given)
    except KdpipeError as error:
        what, _, _ = str(error).rpartition("; ")
        raise KdpipeError(f"{what or error}; copy the folder again") from None


def _by_name(option: str, names: Sequence[str], folders: Sequence[Path]) -> dict[str, Path]:
    if len(folders) != len(names):
        raise KdpipeError(f"--{option}: expected a folder for each of {listed(names)}, found {len(folders)}")
    return dict(zip(names, folders, strict=True))


def checked(source: Source, request: Request, tokenizer: Any, data: Path, intervenes: bool = False) -> Source:
    """Check that a teacher reads tokens on which the requested signals can be compared with the student's.

    Where both must see the same tokens, or read windows of contexts, and the tokenizers are equal, the
    teacher reads what the student reads; so the source is returned, with the data that the teacher reads.

    Args:
        source: where the teacher's signals come from.
        request: the signals that losses read.
        tokenizer: the student's tokenizer.
        data: the dataset as the student's tokenizer encodes it.
        intervenes: whether activations of the teacher are swapped at the tokens of the student.

    Raises:
        ModelError: teacher and student must see the same tokens, and have different tokenizers.
    """
    if source.teacher is None:
        _check_given(source, tokenizer, data)
        return source
    windowed = task_of(data).positions == "spans"
    reads_ours = source.data == data and (source.stored is None or windowed)
    same = reads_ours or task_of(data).by_token or request.aligned or intervenes
    if not (same or windowed):
        return source
    require(source.model, "tokenizer.json")
    equal = load_tokenizer(source.model).get_vocab() == tokenizer.get_vocab()
    if same and not equal:
        raise ModelError(
            f"{source.teacher} and the student have different tokenizers, but both must see the same tokens; "
            "compare logits on a task with labels, or take a student with the teacher's tokenizer"
        )
    return replace(source, data=data) if equal else source


def _check_given(source: Source, tokenizer: Any, data: Path) -> None:
    """Raise ModelError where a folder of stored signals was made on other tokens than the student reads."""
    assert source.stored is not None
    stored = read_knowledge(source.stored)
    if stored.tokenizer != vocabulary_digest(tokenizer):
        raise ModelError(
            f"{source.stored} was stored with another tokenizer than the student's; take a student with the"
            " teacher's tokenizer"
        )
    split, labels = EncodedSplit(data, "train"), read_description(data)["labels"]
    if stored.data != data_digest(split) or stored.labels != (tuple(labels) if labels else None):
        raise KdpipeError(
            f"{source.stored} was stored on other examples, tokens or labels than {data} has; give the"
            " dataset the settings that it had there: source, rows, seed and `max_length`"
        )


def stored_signals(
    source: Source,
    stored: Path,
    data: Path,
    split: EncodedSplit,
    targets: Targets | None,
    request: Request,
    selection: Selection | None,
) -> CachedKnowledge | MatchedAnswers:
    """Return the stored signals of a teacher, of answers to questions on the student's tokens."""
    if selection is not None and selects(selection, request):
        return SelectedKnowledge(stored / SIGNALS, split, selection, request, targets)
    if source.data == data or not split.windowed:
        return CachedKnowledge(stored / SIGNALS, split, targets)
    windows = counterpart(source, split)
    return MatchedAnswers(CachedKnowledge(stored / SIGNALS, windows.theirs), windows)


def counterpart(source: Source, split: EncodedSplit) -> Counterpart:
    """Return the examples of a split as the teacher's tokenizer encodes them."""
    return Counterpart(EncodedSplit(source.data, split.split), split)


def signals_by_column(
    settings: DistillSettings,
    by: ByColumn,
    name: str,
    sources: Mapping[str, Source],
    split: EncodedSplit,
    request: Request,
) -> KnowledgeByRows:
    """Return the stored signals of the teacher of each row.

    Raises:
        KdpipeError: some rows have no teacher, or the signals are not stored.
    """
    if without := {*kept_values(split, by.column)} - {*by.models}:
        what = f"rows whose {by.column!r} is {listed(sorted(map(repr, map(str, without))))} have no teacher"
        raise KdpipeError(f"{split.path}: {what}; give each value one in `teacher.models`")
    parts = []
    for lesson in settings.lessons:
        if lesson.dataset == name and lesson.rows:
            stored, rows = sources[lesson.teacher].stored, rows_with(split, *lesson.rows)
            if stored is None:
                raise KdpipeError(
                    "--knowledge: teachers by a column need their stored signals; give the folders"
                )
            parts.append((CachedKnowledge(stored / SIGNALS, SomeRows(split, rows)), rows))
    knowledge = KnowledgeByRows(parts, len(split))
    knowledge.require(request)
    return knowledge
