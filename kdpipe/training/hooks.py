"""All that a training needs of the private members of `transformers.Trainer`.

An upgrade of transformers may rename these members. `tests/training/test_hooks.py` names the members,
and fails if a member is gone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model as save_safetensors
from torch.utils.data import Sampler
from transformers import Trainer, TrainingArguments

from kdpipe import processes
from kdpipe.data.batches import Batch


class HookedTrainer(Trainer):
    """A Trainer whose private steps are public methods, which a subclass gives."""

    # `compute_loss` divides losses by their rows; the Trainer must not divide them by its steps as well.
    loss_is_scaled_for_ga = True

    def sampler(self) -> Sampler[int]:
        """Return the order of the examples."""
        raise NotImplementedError

    def count_rows(self, batches: Sequence[Batch]) -> dict[str, int]:
        """Return by what the losses of accumulated batches are divided."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Act after a step, or an epoch, has been logged and evaluated."""
        raise NotImplementedError

    def check_loaded(self, missing: Sequence[str], unexpected: Sequence[str]) -> None:
        """Refuse a checkpoint that lacks weights of the model, or has weights that the model lacks."""
        raise NotImplementedError

    def on_device(self, batch: Batch) -> Batch:
        """Return a batch on the device of the training."""
        moved: Batch = self._prepare_inputs(batch)
        return moved

    def save_checkpoint(self, folder: Path) -> None:
        """Write weights, optimizer, scheduler, scaler and random numbers."""
        place = str(folder)
        self.save_model(place, _internal_call=True)
        self._save_optimizer_and_scheduler(place)
        self._save_scaler(place)
        self._save_rng_state(place)

    def losses(self) -> dict[str, float]:
        """Return the sums of losses that have not been logged, and of all, which checkpoints lack."""
        return {
            "loss": self._tr_loss.item(),
            "total_loss": self._total_loss_scalar,
            "trainer_logged_step": self._globalstep_last_logged,
        }

    def restore_losses(self, losses: Mapping[str, Any]) -> None:
        """Take up what `losses` returned."""
        self._tr_loss += losses["loss"]
        # The mean loss at the end is over all steps.
        self._initial_global_step = 0
        self._total_loss_scalar = losses["total_loss"]
        self._globalstep_last_logged = losses["trainer_logged_step"]

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.sampler()

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> Any:
        return self.count_rows(batch_samples)

    def _maybe_log_save_evaluate(self, *arguments: Any, **options: Any) -> None:
        super()._maybe_log_save_evaluate(*arguments, **options)
        self.after_step()

    def _finalize_training(self, *arguments: Any) -> Any:
        """Return the outcome of a training, its loss being the mean over all processes."""
        (loss,) = processes.summed([self._tr_loss.item()])
        self._tr_loss.fill_(loss / processes.count())
        return super()._finalize_training(*arguments)  # type: ignore[no-untyped-call]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        assert self.model is not None
        save_safetensors(self.model, str(folder / "model.safetensors"))

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        self.check_loaded(load_result.missing_keys, load_result.unexpected_keys)


def use_one_gpu(arguments: TrainingArguments) -> None:
    """Keep the Trainer from cutting a batch by rows, whose positions in the batch its tensors name."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
