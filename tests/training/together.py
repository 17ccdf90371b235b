"""Trainings that `test_processes` runs in one process itself, and in two processes through this program."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from kdpipe import processes
from kdpipe.anatomy.alignments import named_alignment
from kdpipe.anatomy.knowledge import Amount, Selection
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.batches import Collator
from kdpipe.data.counterpart import Counterpart, CounterpartCollator
from kdpipe.data.encoded import EncodedSplit, validation_split
from kdpipe.errors import StoppedError
from kdpipe.evaluation.scoring import head_of, scorer, task_of, token_targets
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.evaluation.tasks.question_answering import QuestionAnswering
from kdpipe.interchange.batches import Choice, Exchanges
from kdpipe.interchange.runs import Interchange, TeacherOfBoth
from kdpipe.knowledge.stored import SelectedKnowledge
from kdpipe.losses.ensemble import Ensemble
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.models.family import family_of
from kdpipe.models.loading import load_frozen, load_model, load_tokenizer, load_with_head
from kdpipe.models.multitask import MultiTask
from kdpipe.models.sliced import Slices
from kdpipe.models.units import UNITS
from kdpipe.pruning.cut import prune_to_sparsity, rank_units
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import COUNTERFACTUAL, TEACHER, Origin, Teacher
from kdpipe.training.course import Course
from kdpipe.training.objective import Objective, Term
from kdpipe.training.projection import Projection
from kdpipe.training.run import Outcome, train, train_together
from kdpipe.training.terms import Weighted, build_objective, hard_term
from tests.conftest import CLASSIFICATION, QUESTION_ANSWERING
from tests.training.conftest import FAST, HEAD, collator, distillation_terms, student_of
from tests.training.test_resumption import BEST, Interrupted, KilledError, die

Places = dict[str, Path]
Trained = tuple[Any, Outcome]
# Where a gradient is nothing but rounding, Adam would make whole steps of it.
SGD = {"optim": "sgd", "learning_rate": 0.1}
# Of 96 examples the last batch has one.
ODD = {**FAST, **SGD, "per_device_train_batch_size": 19, "num_train_epochs": 2, "logging_steps": 3}
RESUMED = {**ODD, "num_train_epochs": 3, "logging_steps": 4}
# With a state of its own, for trainings that are compared bit by bit.
ADAM = {"optim": "adamw_torch", "learning_rate": 1e-3}


def hard() -> Objective:
    return Objective([hard_term(Classification)], "categorical")


def still(model: Any) -> Any:
    """Take the dropout out of a model."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def plain(places: Places, state: Path) -> Trained:
    model = student_of(places["classifier"])
    return model, train(
        model, hard(), collator(places["task_data"]), ODD, seed=5, checkpoints=Checkpoints(state)
    )


def distilled(places: Places, state: Path) -> Trained:
    """Several terms, each with a normaliser of its own, over accumulated batches of cached knowledge."""
    model, batches = student_of(places["classifier"], seed=2), collator(places["task_data"])
    batches.knowledge = {TEACHER: CachedKnowledge(places["knowledge"], batches.split)}
    terms = [
        *distillation_terms([(0, 0), (4, 2)], Projection(learning_rate=1e-2)),
        hard_term(Classification),
    ]
    options = {**ODD, "per_device_train_batch_size": 7, "gradient_accumulation_steps": 3}
    objective = Objective(terms, "categorical", seed=1)
    return model, train(model, objective, batches, options, seed=5, checkpoints=Checkpoints(state))


def partly_read(places: Places, state: Path) -> Trained:
    """No term reads the last blocks and the head, and the embeddings are frozen."""
    model, batches = student_of(places["classifier"], seed=2), collator(places["task_data"])
    model.bert.embeddings.requires_grad_(False)
    batches.knowledge = {TEACHER: CachedKnowledge(places["knowledge"], batches.split)}
    objective = Objective([Term("hidden_mse", HiddenMSELoss(), 1.0, "tokens", [(4, 2)])], "categorical")
    options = {**ODD, "weight_decay": 0.1}
    return model, train(model, objective, batches, options, seed=5, checkpoints=Checkpoints(state))


def selected() -> tuple[Selection, Objective]:
    """Return a part of states, and the objective that compares it."""
    selection = Selection(Amount(1, 3, 0.3))
    terms = [Weighted(HiddenMSELoss(), layers=[(2, 1), (4, 2)])]
    depths = {"teacher": (4, 16)}, (2, 16)
    return selection, build_objective(terms, Classification, *depths, seed=1, selection=selection)


def of_a_part(places: Places, state: Path) -> Trained:
    """Some tokens of the top states, and of each text some numbers of these, as they were stored."""
    model, batches = student_of(places["classifier"], seed=2), collator(places["task_data"])
    selection, objective = selected()
    request = objective.teachers[TEACHER]
    batches.knowledge = {TEACHER: SelectedKnowledge(places["part"], batches.split, selection, request)}
    batches.tokens = objective.tokens
    options = {**ODD, "per_device_train_batch_size": 7, "gradient_accumulation_steps": 3}
    return model, train(model, objective, batches, options, seed=5, checkpoints=Checkpoints(state))


def masked(places: Places, state: Path) -> Trained:
    """So few tokens are masked that parts of a batch have none."""
    model, tokenizer = (
        still(load_model(places["language_model"])),
        load_tokenizer(places["language_model"]),
    )
    targets = token_targets(model, tokenizer, 1, probability=0.03, smoothing=0)
    objective = Objective([hard_term(LanguageModeling)], "categorical")
    batches = collator(places["text_data"], targets=targets)
    options = {**ODD, "per_device_train_batch_size": 5}
    return model, train(model, objective, batches, options, seed=5, checkpoints=Checkpoints(state))


def windows(places: Places, state: Path) -> Trained:
    """Starts and ends of answers, whose rows are as long as the windows of a part."""
    model = still(load_with_head(places["reader"], QUESTION_ANSWERING, 1))
    batches = collator(places["question_data"])
    batches.knowledge = {TEACHER: CachedKnowledge(places["answers"], batches.split)}
    soft = Term("soft_cross_entropy", SoftCrossEntropyLoss(temperature=2.0), positions="spans")
    objective = Objective([soft, hard_term(QuestionAnswering)], "categorical")
    options = {**ODD, "max_grad_norm": 0.0, "per_device_train_batch_size": len(batches.split) // 3}
    return model, train(model, objective, batches, options, seed=5, checkpoints=Checkpoints(state))


def other_tokens(places: Places, state: Path) -> Trained:
    """A teacher that spells words finds answers beside a student that reads words."""
    model = still(load_with_head(places["reader"], QUESTION_ANSWERING, 1))
    split, spelled = (EncodedSplit(places[name], "train") for name in ("question_data", "spelled_data"))
    others = {TEACHER: CounterpartCollator(Counterpart(spelled, split), 0)}
    soft = Term("soft_cross_entropy", SoftCrossEntropyLoss(temperature=2.0), positions="spans")
    objective = Objective([soft, hard_term(QuestionAnswering)], "categorical")
    teacher = load_frozen(places["speller"], QUESTION_ANSWERING, torch.device("cpu"))
    outcome = train(
        model,
        objective,
        Collator(split, 0, others=others),
        {**ODD, "max_grad_norm": 0.0},
        seed=5,
        checkpoints=Checkpoints(state),
        teachers={TEACHER: Teacher(teacher, objective.teachers[TEACHER])},
    )
    return model, outcome


def best(places: Places, state: Path) -> Trained:
    """What an evaluation says differs from process to process, but only that of the first counts."""
    model, scores = student_of(places["classifier"]), iter([0.9, 0.5, 0.4, 0.3])
    options = {**ODD, **BEST, "num_train_epochs": 4}
    outcome = train(
        model,
        hard(),
        collator(places["task_data"]),
        options,
        seed=5,
        checkpoints=Checkpoints(state),
        evaluate=lambda _: {"accuracy": processes.rank() or next(scores)},
    )
    return model, outcome


def sizes(places: Places, state: Path) -> Trained:
    """Three sizes together, the smallest of which has no use of some units, against a teacher that is run."""
    source = student_of(places["classifier"])
    source.config.hidden_dropout_prob = 0.0
    groups, generator = family_of(source).groups(source.base_model), torch.Generator().manual_seed(3)
    ranks = {
        kind: rank_units([torch.rand(g.count(source.base_model), generator=generator) for g in groups[kind]])
        for kind in UNITS
    }
    learner = prune_to_sparsity(source, 0.25, ranks)
    slices, batches = Slices(learner), collator(places["task_data"])
    counts = [prune_to_sparsity(source, own, ranks).config.unit_counts for own in (0.25, 0.5, 0.75)]
    objective = Objective([Term("soft_cross_entropy", SoftCrossEntropyLoss(temperature=2.0))], "categorical")
    teacher = load_frozen(places["classifier"], CLASSIFICATION, torch.device("cpu"))
    # A teacher that agrees with its student would leave no gradient but rounding.
    torch.nn.init.normal_(teacher.classifier.weight, generator=generator)
    options = {**ODD, "gradient_accumulation_steps": 2}
    outcome = train(
        learner,
        objective,
        batches,
        options,
        seed=5,
        checkpoints=Checkpoints(state),
        teachers={TEACHER: Teacher(teacher, objective.teachers[TEACHER])},
        sizes=[partial(slices.at, own) for own in counts],
    )
    return learner, outcome


def taught_by_two(places: Places, state: Path) -> Trained:
    """The mean probabilities of a cached teacher and of a teacher that is run, and states of the second."""
    model, batches = student_of(places["classifier"], seed=2), collator(places["task_data"])
    first, second = Origin("first"), Origin("second")
    batches.knowledge = {first: CachedKnowledge(places["knowledge"], batches.split)}
    mean = Ensemble("probabilities", (2.0, 1.0))
    terms = [
        Term("kl", KLLoss(temperature=2.0), teachers=(first, second), ensemble=mean),
        Term("hidden_mse", HiddenMSELoss(), 1.0, "tokens", [(4, 2)], teachers=(second,)),
    ]
    objective = Objective(terms, "categorical")
    teacher = load_frozen(places["classifier"], CLASSIFICATION, torch.device("cpu"))
    torch.nn.init.normal_(teacher.classifier.weight, generator=torch.Generator().manual_seed(3))
    teachers = {second: Teacher(teacher, objective.teachers[second])}
    return model, train(
        model, objective, batches, ODD, seed=5, checkpoints=Checkpoints(state), teachers=teachers
    )


def swapped(places: Places, state: Path) -> Trained:
    """Counterfactual runs of a masked language model, with sites that are drawn batch by batch."""
    model, tokenizer = still(load_model(places["language_model"])), load_tokenizer(places["language_model"])
    targets = token_targets(model, tokenizer, 1, smoothing=0)
    interchange = Interchange(named_alignment("full", 4, 4))
    batches = collator(places["text_data"], targets=targets)
    batches.exchanges = Exchanges(batches.split, 0, Choice(), [1] * 4, seed=1, targets=targets)
    origin, own = Origin("teacher", COUNTERFACTUAL), Origin(run=COUNTERFACTUAL)
    terms = [
        Term("kl", KLLoss(temperature=2.0), positions="tokens"),
        Term("kl_counterfactual", KLLoss(temperature=2.0), 1.0, "tokens", teachers=(origin,), student=own),
        hard_term(LanguageModeling),
    ]
    objective = Objective(terms, "categorical")
    teacher: Any = load_model(places["language_model"]).eval()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    asked = objective.teachers[TEACHER], objective.counterfactual[TEACHER]
    outcome = train(
        model,
        objective,
        batches,
        {**ODD, "per_device_train_batch_size": 5, "gradient_accumulation_steps": 2},
        seed=5,
        checkpoints=Checkpoints(state),
        teachers={TEACHER: TeacherOfBoth(teacher, *asked, interchange)},
        interchange=interchange,
    )
    return model, outcome


def two_tasks(places: Places, state: Path) -> Trained:
    """Two datasets with a head each; batches of one are too small for both processes to have rows of all."""
    data = {"films": places["task_data"], "numbers": places["number_data"]}
    heads = {name: load_with_head(places["classifier"], head_of(folder), 1) for name, folder in data.items()}
    student = still(MultiTask(heads))
    courses = {}
    for name, folder in data.items():
        terms, kind = [hard_term(task_of(folder), f"{name}_")], task_of(folder).kind
        courses[name] = Course(collator(folder), Objective(terms, kind))
    options = {**ODD, "per_device_train_batch_size": 7, "gradient_accumulation_steps": 3}
    checkpoints = Checkpoints(state)
    return student, train_together(student, courses, options, seed=5, exponent=0.5, checkpoints=checkpoints)


SAME: dict[str, Callable[[Places, Path], Trained]] = {
    function.__name__: function
    for function in (
        *(
            plain,
            distilled,
            partly_read,
            of_a_part,
            masked,
            windows,
            other_tokens,
            best,
            sizes,
            taught_by_two,
        ),
        *(swapped, two_tasks),
    )
}


def resumed(
    places: Places, state: Path, dropout: bool = True, after: int = 0, act: Any = None, **more: Any
) -> Trained:
    """A training that goes on from what an earlier one left, and does something before its n-th batch."""
    model = load_with_head(places["classifier"], HEAD, 1)
    batches: Collator = collator(places["task_data"])
    outcome = train(
        model if dropout else still(model),
        hard(),
        Interrupted(batches, after, act) if after else batches,
        {**RESUMED, **ADAM} if dropout else RESUMED,
        seed=5,
        checkpoints=Checkpoints(state, **more),
        evaluate=scorer(
            validation_split(places["task_data"]),
            load_tokenizer(places["classifier"]),
            seed=1,
            probability=0.0,
        ),
    )
    return model, outcome


def be_signalled() -> None:
    """Signal the last process alone."""
    if processes.rank():
        os.kill(os.getpid(), signal.SIGUSR1)


def stop(places: Places, folder: Path, after: int, **options: Any) -> str:
    """Stop a training, and return what it says."""
    try:
        resumed(places, folder, after=after, act=be_signalled, **options)
    except StoppedError as stopped:
        return str(stopped)
    return ""


def save(trained: Trained, path: Path) -> None:
    model, outcome = trained
    torch.save((model.state_dict(), outcome.history, dict(outcome.seen)), path)


def main(places: Places, out: Path) -> None:
    processes.join(threads=1)
    number = processes.rank()
    for name, run in SAME.items():
        save(run(places, out / "state" / name), out / f"{name}-{number}.pt")
    save(resumed(places, out / "undisturbed"), out / f"undisturbed-{number}.pt")
    for batches in (5, 4):
        with suppress(KilledError):
            resumed(places, out / "interrupted", after=batches, act=die, interval=0.0)
    (out / f"word-{number}.txt").write_text(stop(places, out / "interrupted", 2))
    save(resumed(places, out / "interrupted"), out / f"interrupted-{number}.pt")
    stop(places, out / "left", 9, dropout=False)


if __name__ == "__main__":
    given = {name: Path(path) for name, path in json.loads(sys.argv[1]).items()}
    main(given, Path(sys.argv[2]))
