"""What a student learns from in Python: teachers that run beside it, or their signals in a temporary file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kdpipe.anatomy.knowledge import Selection
from kdpipe.anatomy.signals import BYTES, StoredPrecision
from kdpipe.data.batches import Collator
from kdpipe.errors import KdpipeError, quoted
from kdpipe.evaluation.task import Advance
from kdpipe.interchange.runs import Interchange, teacher_of
from kdpipe.knowledge.choosing import ChoosingTeacher, is_selected, selects
from kdpipe.knowledge.stored import SelectedKnowledge
from kdpipe.knowledge.storing import StoringTeacher
from kdpipe.knowledge.tokens import separators_of
from kdpipe.library.progress import progress_bar
from kdpipe.models.precision import Precision, autocast, choose_precision, norms_in_fp32
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.signals.sizes import measure
from kdpipe.training.objective import Objective


@dataclass(frozen=True)
class Taught:
    """What is learned of teachers.

    Args:
        models: the teachers by name.
        objective: the loss.
        interchanges: what is swapped in counterfactual runs, by teacher.
        selection: what is taken of states; None for all.
        tokenizer: the tokenizer, which names separators.
    """

    models: Mapping[str, Any]
    objective: Objective
    interchanges: Mapping[Origin, Interchange] = field(default_factory=dict)
    selection: Selection | None = None
    tokenizer: Any = None

    @property
    def separators(self) -> tuple[int, ...]:
        """The ids of tokens that are chosen after all others.

        Raises:
            KdpipeError: separators come last, and no tokenizer names them.
        """
        chosen = self.selection
        if chosen is None or not chosen.ranks or chosen.token_scheme != "attention_no_sep":
            return ()
        if self.tokenizer is None:
            what = "separators are chosen last, which the tokenizer names"
            raise KdpipeError(f"knowledge: {what}; give `tokenizer`, or another `token_scheme`")
        return separators_of(self.tokenizer)

    def teacher(self, source: Origin, cache: StoredPrecision | None) -> Teacher:
        """Return a teacher as it runs beside a student, or as its signals are stored in a precision."""
        model, request = self.models[source.teacher].eval(), self.objective.teachers[source]
        if self.selection is None or not selects(self.selection, request):
            swapped = self.objective.counterfactual.get(source), self.interchanges.get(source)
            return teacher_of(model, request, *swapped)
        if cache is None:
            return ChoosingTeacher(model, request, self.selection, self.separators)
        shares = dict.fromkeys(filter(is_selected, request.signals), (self.selection.stored,))
        return StoringTeacher(model, request, self.selection, self.separators, cache, shares)

    def stored(self, source: Origin, file: Path, collator: Collator) -> CachedKnowledge:
        """Return the signals of a teacher that a file holds."""
        split, targets, request = collator.split, collator.targets, self.objective.teachers[source]
        if self.selection is None or not selects(self.selection, request):
            return CachedKnowledge(file, split, targets)
        return SelectedKnowledge(file, split, self.selection, request, targets)


@contextmanager
def lessons(
    taught: Taught,
    collator: Collator,
    cache: StoredPrecision | None,
    training: Mapping[str, Any],
    progress: bool | None = None,
) -> Iterator[tuple[Collator, Mapping[Origin, Teacher]]]:
    """Yield the batches, and the teachers if they run beside the student; else batches hold their signals.

    Args:
        taught: what is learned of teachers.
        collator: the batches.
        cache: the precision in which signals are stored; None lets teachers run.
        training: the arguments of the training.
        progress: whether a bar of the signals is shown that are stored, as of `progress_bar`.

    Raises:
        KdpipeError: the precision is not known, or text is masked anew in every epoch.
    """
    if cache is not None and cache not in BYTES:
        raise KdpipeError(f"cache: expected {' or '.join(BYTES)}, found {quoted(cache)}")
    teachers = {source: taught.teacher(source, cache) for source in taught.objective.teachers}
    if cache is None:
        yield collator, teachers
        return
    targets, precision = collator.targets, choose_precision(training)
    if targets and targets.maskings is None:
        raise KdpipeError("cache: text is masked anew in every epoch, so nothing can be stored; leave it out")
    with TemporaryDirectory() as folder:
        total = len(teachers) * len(collator.split) * collator.maskings
        with progress_bar(progress, "cache", "example", total) as bar:
            stored = {}
            for number, (source, run) in enumerate(teachers.items()):
                file = Path(folder, str(number))
                _store(file, run, collator, cache, precision, bar.update)
                stored[source] = taught.stored(source, file, collator)
        yield Collator(collator.split, collator.pad_id, targets, stored, tokens=collator.tokens), {}


def _store(
    file: Path,
    run: Teacher,
    collator: Collator,
    cache: StoredPrecision,
    precision: Precision,
    advance: Advance,
) -> None:
    """Run a teacher over all rows, and write its signals."""
    if precision.name == "bfloat16":
        norms_in_fp32(run.model)
    with autocast(precision):
        device, multiplied = run.model.device, precision.name
        size = sum(measure(run, collator, cache, device).values())
        write_knowledge(file, run, collator, cache, device, advance, multiplied=multiplied, size=size)
