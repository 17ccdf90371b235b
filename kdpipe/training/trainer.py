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
from kdpipe.data.batches import Batch, Collator
from kdpipe.data.sampling import LengthGroupedSampler
from kdpipe.errors import TrainingError, suggest
from kdpipe.evaluation.scoring import Scorer
from kdpipe.signals.capture import STUDENT, Origin, Signals, Teacher, capture
from kdpipe.training.callbacks import GivesStudent
from kdpipe.training.hooks import HookedTrainer
from kdpipe.training.objective import Objective
from kdpipe.training.resumption import Resumption

AtSize = Callable[[], AbstractContextManager[object]]


class Learner(nn.Module):
    """A model with its objective: the module that is optimised and saved."""

    def __init__(self, student: Any, objective: Objective) -> None:
        super().__init__()
        self.student = student
        self.objective = objective

    def forward(self, batch: Batch, signals: Mapping[Origin, Signals]) -> dict[str, Tensor]:
        """Run the model and return the sum of each loss term, against the signals of the teachers."""
        student = capture(self.student, batch, self.objective.requests[STUDENT])
        sums: dict[str, Tensor] = self.objective({**signals, STUDENT: student}, batch)
        return sums


class LearningTrainer(HookedTrainer):
    """Trains a learner, with or without a teacher.

    Each loss term is summed over the whole accumulated batch, and divided by the number of rows, examples or
    pairs that the term is averaged over. So accumulation changes nothing. The log has the mean of each term
    since the last log, by name. Each of several processes takes its part of every batch; sums and counts are
    over all processes, so their number changes nothing either. Only `emd`, and temperatures that differ by
    row, go by the micro-batch of a process.

    Args:
        learner: the model with its objective.
        arguments: the arguments of training.
        collator: as of `kdpipe.training.run.train`, and so the other arguments.
        seed: seed of the order of examples.
        teachers: the teachers that run beside the student.
        evaluate: scores the student.
        sizes: the sizes of the student; the loss is the mean over them.
        resumption: writes the checkpoints.
        options: passed to `Trainer`.

    Raises:
        TrainingError: the arguments ask for evaluation, and `evaluate` is missing.
    """

    def __init__(
        self,
        learner: Learner,
        arguments: TrainingArguments,
        collator: Collator,
        seed: int,
        teachers: Mapping[Origin, Teacher] | None = None,
        evaluate: Scorer | None = None,
        sizes: Sequence[AtSize] = (nullcontext,),
        resumption: Resumption | None = None,
        **options: Any,
    ) -> None:
        if arguments.eval_strategy != "no" and evaluate is None:
            raise TrainingError(
                "training.eval_strategy asks for evaluation, but the dataset has no validation split"
            )
        examples: Any = collator.examples
        options["callbacks"] = [GivesStudent(self), *options.get("callbacks", ())]
        super().__init__(
            learner, arguments, collator, train_dataset=examples, eval_dataset=range(0), **options
        )
        self.learner = learner
        self.collator = collator
        collator.part = (processes.rank(), processes.count())
        self.order_seed = seed
        self.teachers = teachers or {}
        self.score = evaluate
        self.sizes = sizes
        self.resumption = resumption
        if resumption is not None:
            resumption.attach(self)
        self._signals: Mapping[Origin, Signals] = {}
        self.seen: Counter[str] = Counter()
        self.sums: dict[str, Tensor] = {}
        self.logged_step = 0

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
        sums = model(inputs, self._signals)
        if not inputs["counts"]["examples"]:
            sums = {name: 0 * value for name, value in sums.items()}
        means = {
            term.name: sums[term.name] / max(num_items_in_batch[term.averaged_over], 1) / len(self.sizes)
            for term in self.learner.objective.terms
        }
        parts = len(self.sizes) * self.current_gradient_accumulation_steps * processes.count()
        logged = {name: value / parts for name, value in self.learner.objective.logged().items()}
        for name, mean in {**means, **logged}.items():
            self.sums[name] = self.sums.get(name, 0) + mean.detach()
        total = sum(weight * means[name] for name, weight in self._weights(self.state.global_step).items())
        return processes.count() * total

    def _weights(self, step: int) -> dict[str, float]:
        """Return the weights of the terms at a step of the training, counted from 0, by name."""
        return self.learner.objective.weights(step / max(self.state.max_steps, 1))

    def _teacher_signals(self, batch: Batch) -> Mapping[Origin, Signals]:
        with self.autocast_smart_context_manager(), self.accelerator.autocast():
            online = {source: teacher(batch) for source, teacher in self.teachers.items()}
        return {**batch.get("signals", {}), **online}

    def count_rows(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Return the numbers of rows of accumulated batches, of all processes."""
        counts: Counter[str] = Counter()
        for batch in batches:
            counts.update(batch["counts"])
        totals = dict(zip(counts, map(int, processes.summed(counts.values())), strict=True))
        self.seen.update(totals)
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
        """Return the order of the examples: batches of like lengths, by the seed."""
        return LengthGroupedSampler(
            self.collator.lengths, self.args.train_batch_size, self.order_seed, self.collator
        )

    def after_step(self) -> None:
        if self.resumption is not None:
            self.resumption.after_step()

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimizer; projections with their own learning rate get their own group."""
        optimizer = super().create_optimizer(model)
        for term in self.learner.objective.terms:
            if term.projection is not None and term.projection.learning_rate is not None:
                parameters = list(self.learner.objective.projections[term.name].parameters())
                _move_to_own_group(optimizer, parameters, term.projection.learning_rate)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the Trainer's values and the mean of each loss term since the last log.

        Raises:
            TrainingError: the loss is not finite.
        """
        steps = self.state.global_step - self.logged_step
        if "loss" in logs and steps:
            # The device is waited for once.
            totals = processes.summed(torch.stack([*self.sums.values()]).tolist())
            logs |= {name: total / steps for name, total in zip(self.sums, totals, strict=True)}
            weights = self._weights(self.state.global_step - 1)
            logs |= {f"weight of {name}": weights[name] for name in self.learner.objective.scheduled}
            self.sums, self.logged_step = {}, self.state.global_step
        if not math.isfinite(logs.get("loss", 0.0)):
            terms = ", ".join(
                f"{term.name} {logs.get(term.name, math.nan):g}" for term in self.learner.objective.terms
            )
            raise TrainingError(
                f"the loss is {logs['loss']} at step {self.state.global_step} ({terms}); "
                "expected a finite number: lower the learning rate or set max_grad_norm"
            )
        super().log(logs, start_time)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the student on the validation split.

        Raises:
            TrainingError: the split does not measure the metric that decides which checkpoint is best.
        """
        score = self.score
        assert score is not None
        scores = processes.shared(lambda: dict(score(self.learner.student)))
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


def _move_to_own_group(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], rate: float) -> None:
    moved = {id(parameter) for parameter in parameters}
    decay = 0.0
    for group in optimizer.param_groups:
        if any(id(parameter) in moved for parameter in group["params"]):
            decay = max(decay, group["weight_decay"])
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in moved]
    optimizer.add_param_group({"params": parameters, "lr": rate, "weight_decay": decay})
