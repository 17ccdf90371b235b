"""The training loop: `transformers.Trainer` with our batches, our loss and our evaluation."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import TrainingArguments

from kdpipe import processes
from kdpipe.anatomy.alignments import PASSES
from kdpipe.data.batches import Batch, encoded_for
from kdpipe.data.mixing import Collators, MixedSampler
from kdpipe.data.sampling import LengthGroupedSampler, sampled_lengths
from kdpipe.errors import TrainingError, suggest
from kdpipe.models.multitask import on_dataset
from kdpipe.signals.answers import on_our_tokens
from kdpipe.signals.capture import COUNTERFACTUAL, Origin, Signals, Teacher
from kdpipe.training.callbacks import GivesStudent
from kdpipe.training.course import Course
from kdpipe.training.hooks import HookedTrainer
from kdpipe.training.learner import Learner
from kdpipe.training.resumption import Resumption

AtSize = Callable[[], AbstractContextManager[object]]


class LearningTrainer(HookedTrainer):
    """Trains a learner, with or without a teacher.

    Each loss term is summed over the whole accumulated batch, and divided by the number of rows, examples or
    pairs that the term is averaged over. So accumulation changes nothing. The log has the mean of each term
    since the last log, by name. Each of several processes takes its part of every batch; sums and counts are
    over all processes, so their number changes nothing either. Only `emd`, and temperatures that differ by
    row, go by the micro-batch of a process. Each accumulated batch is of one dataset. The log names losses
    and metrics of several datasets as `DATASET_NAME`.

    Args:
        student: the model.
        courses: what is learned on each dataset, by name; on the only dataset by "".
        arguments: the arguments of training.
        seed: seed of the order of examples.
        exponent: how often a batch is of each dataset, as of `MixedSampler`.
        sizes: the sizes of the student; the loss is the mean over them.
        resumption: writes the checkpoints.
        options: passed to `Trainer`.

    Raises:
        TrainingError: the arguments ask for evaluation, and no score is known for a dataset.
    """

    def __init__(
        self,
        student: Any,
        courses: Mapping[str, Course],
        arguments: TrainingArguments,
        seed: int,
        exponent: float = 1.0,
        sizes: Sequence[AtSize] = (nullcontext,),
        resumption: Resumption | None = None,
        **options: Any,
    ) -> None:
        for name, course in courses.items():
            if arguments.eval_strategy != "no" and course.evaluate is None:
                dataset = f"the dataset {name!r}" if name else "the dataset"
                raise TrainingError(
                    f"training.eval_strategy asks for evaluation, but {dataset} has no validation split"
                )
        objectives = {name: course.objective for name, course in courses.items()}
        interchanges = {name: course.interchange for name, course in courses.items()}
        learner = Learner(student, objectives, interchanges)
        collators = {name: course.collator for name, course in courses.items()}
        self.collator = Collators(collators) if len(courses) > 1 else collators[""]
        examples: Any = self.collator.examples
        options["callbacks"] = [GivesStudent(self), *options.get("callbacks", ())]
        super().__init__(
            learner, arguments, self.collator, train_dataset=examples, eval_dataset=range(0), **options
        )
        self.learner = learner
        self.courses = courses
        self.collator.part = (processes.rank(), processes.count())
        self.order_seed = seed
        self.exponent = exponent
        self.sizes = sizes
        self.resumption = resumption
        if resumption is not None:
            resumption.attach(self)
        self._signals: Mapping[Origin, Signals] = {}
        self.seen: Counter[str] = Counter()
        # Since the last log, by dataset: the sums of its terms, and its steps.
        self.sums: dict[str, dict[str, Tensor]] = {}
        self.unlogged: Counter[str] = Counter()

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Add the gradients of each size, against one run of each teacher, and return their mean loss.

        Each size runs forward and backward before the next size, so that no two sizes take memory at once.
        """
        inputs = self.on_device(inputs)
        self._signals = self._teacher_signals(inputs)
        losses = []
        for number, size in enumerate(self.sizes, start=1):
            # The gradients of all sizes go to the other processes at once.
            alone = self.accelerator.no_sync(model) if number < len(self.sizes) else nullcontext()
            with size(), alone:
                losses.append(super().training_step(model, inputs, num_items_in_batch))
        return torch.stack(losses).sum()

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the weighted sum of the loss terms, each a mean over its rows or examples and the sizes.

        The sum is multiplied by the number of processes, as the Trainer averages gradients and logged losses
        over the processes.
        """
        dataset = inputs.get("dataset", "")
        objective = self.courses[dataset].objective
        counted = 1 if inputs["counts"]["examples"] else 0
        shares = {
            term.name: counted / max(num_items_in_batch[term.averaged_over], 1) / len(self.sizes)
            for term in objective.terms
        }
        weights = objective.weights(self._share(self.state.global_step))
        scales = {name: processes.count() * weights[name] * share for name, share in shares.items()}
        loss, sums = model(inputs, self._signals, scales)
        means = {name: share * sums[name] for name, share in shares.items()}
        parts = len(self.sizes) * self.current_gradient_accumulation_steps * processes.count()
        logged = {name: value / parts for name, value in objective.logged().items()}
        sums = self.sums.setdefault(dataset, {})
        for name, mean in {**means, **logged}.items():
            sums[name] = sums.get(name, 0) + mean.detach()
        return loss

    def _share(self, step: int) -> float:
        """Return the share of the training that is over at a step, counted from 0."""
        return step / max(self.state.max_steps, 1)

    def _teacher_signals(self, batch: Batch) -> Mapping[Origin, Signals]:
        teachers = self.courses[batch.get("dataset", "")].teachers
        with self.autocast_smart_context_manager(), self.accelerator.autocast():
            signals = dict(batch.get("signals", {}))
            for source, teacher in teachers.items():
                signals |= _signals_of(teacher, source, batch)
        return signals

    def count_rows(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Return the numbers of rows of accumulated batches, of all processes."""
        counts: Counter[str] = Counter()
        for batch in batches:
            counts.update(batch["counts"])
        totals = dict(zip(counts, map(int, processes.summed(counts.values())), strict=True))
        dataset = batches[0].get("dataset", "")
        self.seen.update(totals)
        course = self.courses[dataset]
        self.seen["taught"] += totals["examples"] * sum(each.passes for each in course.teachers.values())
        passes = PASSES if COUNTERFACTUAL in course.objective.runs else 1
        self.seen["learned"] += totals["examples"] * passes * len(self.sizes)
        self.unlogged[dataset] += 1
        return totals

    def get_train_dataloader(self) -> DataLoader[int]:
        """Return the batches of an epoch: each process reads all batches, and its collator takes its part."""
        loader: DataLoader[int] = super().get_train_dataloader()
        if processes.count() > 1:
            shard: Any = loader.batch_sampler
            shard.num_processes, shard.process_index, shard.even_batches = 1, 0, False
            # By this name the loader finds the sampler to set its epoch, even if it skips batches.
            shard.sampler = shard.batch_sampler.sampler
        return loader

    def sampler(self) -> Sampler[int]:
        """Return the order of the examples by the seed: batches of like lengths, or of any."""
        size, strategy = self.args.train_batch_size, str(self.args.train_sampling_strategy)
        if isinstance(self.collator, Collators):
            # Micro-batches that are accumulated are of one dataset, as a batch is.
            size *= self.args.gradient_accumulation_steps
            return MixedSampler(self.collator, size, self.order_seed, self.exponent, strategy)
        lengths = sampled_lengths(self.collator.lengths, strategy)
        return LengthGroupedSampler(lengths, size, self.order_seed, self.collator)

    def after_step(self) -> None:
        if self.resumption is not None:
            self.resumption.after_step()

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer; projections with their own learning rate get their own group."""
        optimizer = super().create_optimizer(model)
        for course in self.courses.values():
            for term in course.objective.terms:
                if term.projection is not None and term.projection.learning_rate is not None:
                    parameters = list(course.objective.projections[term.key].parameters())
                    _move_to_own_group(optimizer, parameters, term.projection.learning_rate)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the Trainer's values and the mean of each loss term since the last log.

        Raises:
            TrainingError: the loss is not finite.
        """
        if "loss" in logs and self.unlogged:
            logs |= self._means()
            self.sums, self.unlogged = {}, Counter()
        if not math.isfinite(logs.get("loss", 0.0)):
            names = [term.name for course in self.courses.values() for term in course.objective.terms]
            terms = ", ".join(f"{name} {logs.get(name, math.nan):g}" for name in names)
            raise TrainingError(
                f"the loss is {logs['loss']} at step {self.state.global_step} ({terms}); "
                "expected a finite number: lower the learning rate or set max_grad_norm"
            )
        super().log(logs, start_time)

    def _means(self) -> dict[str, float]:
        """Return the mean of each loss term since the last log, and the weights that schedules change."""
        places = [(dataset, name) for dataset, sums in self.sums.items() for name in sums]
        # The device is waited for once.
        totals = processes.summed(
            torch.stack([self.sums[dataset][name] for dataset, name in places]).tolist()
        )
        means = {
            name: total / self.unlogged[dataset]
            for (dataset, name), total in zip(places, totals, strict=True)
        }
        share = self._share(self.state.global_step - 1)
        for objective in (self.courses[dataset].objective for dataset in self.sums):
            weights = objective.weights(share)
            means |= {f"weight of {name}": weights[name] for name in objective.scheduled}
        return means

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the student on the validation split of each dataset.

        Raises:
            TrainingError: the split does not measure the metric that decides which checkpoint is best.
        """
        scores = processes.shared(self._scores)
        best = (self.args.metric_for_best_model or "").removeprefix("eval_")
        if best and best not in scores:
            raise TrainingError(
                f"metric_for_best_model: {best!r} is not measured on the validation split; "
                f"{suggest(best, scores)}"
            )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.learner.train()
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _scores(self) -> dict[str, float]:
        """Return the metrics of the student, of several datasets as `DATASET_METRIC`."""
        scores: dict[str, float] = {}
        for dataset, course in self.courses.items():
            assert course.evaluate is not None
            values = course.evaluate(on_dataset(self.learner.student, dataset))
            scores |= {f"{dataset}_{name}" if dataset else name: value for name, value in values.items()}
        return scores

    def check_loaded(self, missing: Sequence[str], unexpected: Sequence[str]) -> None:
        """Accept that a checkpoint stores tied weights once.

        Raises:
            TrainingError: the checkpoint lacks other weights, or has more.
        """
        weights = self.learner.state_dict()
        loaded = {value.data_ptr() for name, value in weights.items() if name not in missing}
        wrong = [name for name in missing if weights[name].data_ptr() not in loaded]
        if wrong or unexpected:
            names = ", ".join(sorted([*wrong, *unexpected]))
            raise TrainingError(f"a checkpoint is not of this model: they differ in {names}")


def _signals_of(teacher: Teacher, source: Origin, batch: Batch) -> dict[Origin, Signals]:
    """Return the signals of a teacher's runs on a batch, on the tokens that the student reads."""
    encoded = encoded_for(batch, source)
    runs = {source._replace(run=run): signals for run, signals in teacher.runs(encoded).items()}
    if "matches" not in encoded:
        return runs
    return {run: on_our_tokens(signals, encoded["matches"], batch) for run, signals in runs.items()}


def _move_to_own_group(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], rate: float) -> None:
    moved = {id(parameter) for parameter in parameters}
    decay = 0.0
    for group in optimizer.param_groups:
        if any(id(parameter) in moved for parameter in group["params"]):
            decay = max(decay, group["weight_decay"])
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in moved]
    optimizer.add_param_group({"params": parameters, "lr": rate, "weight_decay": decay})
