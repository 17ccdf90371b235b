"""Train a small model and its WordPiece tokenizer from scratch, as a masked language model."""

from pathlib import Path
from tempfile import TemporaryDirectory

from kdpipe.config.settings.jobs import PreprocessSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.data.batches import Collator
from kdpipe.data.counts import count_tokens
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.opening import open_dataset
from kdpipe.data.preprocess import write_dataset
from kdpipe.evaluation.scoring import task_of, validation_scorer
from kdpipe.job import Job, main
from kdpipe.models.creation import create_language_model, train_wordpiece
from kdpipe.training.masking import training_masking
from kdpipe.training.objective import Objective
from kdpipe.training.run import save_outcome, train
from kdpipe.training.terms import hard_term


def run(settings: PretrainSettings, dataset: PreprocessSettings, job: Job) -> None:
    """Train tokenizer and model on the training split of a text dataset."""
    with job.artifact() as draft, TemporaryDirectory(dir=draft.folder.parent) as scratch:
        data = Path(scratch)
        source = open_dataset(dataset)
        tokenizer = train_wordpiece(
            lambda: (example.text for example in source.read("train")),
            settings.vocab_size,
            dataset.max_length,
        )
        tokenizer.save_pretrained(data)
        write_dataset(
            data,
            source,
            data / "tokenizer.json",
            task=dataset.task,
            max_length=dataset.max_length,
            processes=job.threads,
        )
        task, _ = task_of(data)
        counts = count_tokens(data / "train.parquet", len(tokenizer))["count"].to_numpy()
        masking = training_masking(settings.masking, tokenizer, counts, settings.seed)
        architecture = settings.architecture
        model = create_language_model(
            architecture.family, architecture.options, len(tokenizer), settings.seed
        )
        with job.progress(None, "pretrain") as bar:
            outcome = train(
                model,
                Objective([hard_term(task)], task.kind),
                Collator(EncodedSplit(data, "train"), tokenizer.pad_token_id, masking),
                settings.training.model_dump(exclude_unset=True),
                seed=settings.seed,
                folder=job.checkpoints,
                evaluate=validation_scorer(
                    tokenizer, data, seed=settings.seed, probability=settings.masking.probability
                ),
                bar=bar,
            )
        save_outcome(draft, model, tokenizer, outcome)


if __name__ == "__main__":
    main(run)
