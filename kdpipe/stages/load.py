"""Bring a model into the results: from a directory, an installed package or the Hub."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError

from kdpipe.artifacts.sums import file_digest
from kdpipe.command import main
from kdpipe.config.facts import LOADED, loaded_files, local_folder
from kdpipe.config.settings.load import LoadSettings
from kdpipe.errors import ModelError
from kdpipe.job import Job
from kdpipe.models.loading import agree_on_padding, load_model, load_tokenizer, name_labels, save_model

WEIGHTS_FILE = "model.safetensors"
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")


def run(settings: LoadSettings, job: Job) -> None:
    """Copy a model with its head and tokenizer."""
    folder = local_folder(settings.path) or _fetch(settings)
    _check_weights(folder, settings.sha256)
    _check_tokenizer(folder)
    with job.artifact() as draft:
        try:
            model, tokenizer = load_model(folder, settings.seed), load_tokenizer(folder)
        except (OSError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{folder} cannot be loaded as a model: {reason}") from None
        agree_on_padding(model, tokenizer)
        if settings.labels is not None:
            name_labels(model, settings.labels)
        save_model(model, tokenizer, draft.folder)
        # What a package or the Hub holds may be another one at the next start.
        if files := _digests(settings):
            draft.record(source_files=files)


def _digests(settings: LoadSettings) -> dict[str, str]:
    """Return the SHA-256 of the local files that are read, by their paths."""
    return {str(path): file_digest(path) for path in loaded_files(settings.path)}


def _fetch(settings: LoadSettings) -> Path:
    try:
        return Path(snapshot_download(settings.path, revision=settings.revision, allow_patterns=[*LOADED]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{settings.path!r} could not be fetched from the Hub: {reason}; check name, revision, "
            f"network and the room in {HF_HUB_CACHE}, or give the path of a local folder"
        ) from None


def _check_tokenizer(folder: Path) -> None:
    if not any((folder / name).exists() for name in TOKENIZERS):
        raise ModelError(f"{folder} has no tokenizer; expected one of {', '.join(TOKENIZERS)}")


def _check_weights(folder: Path, sha256: str | None) -> None:
    weights = folder / WEIGHTS_FILE
    if not weights.exists():
        raise ModelError(
            f"{folder} has no {WEIGHTS_FILE}; weights are read from that file alone, never pickled"
        )
    if sha256 and file_digest(weights) != sha256:
        raise ModelError(
            f"{weights}: expected sha256 {sha256}, found {file_digest(weights)}; check path and revision"
        )


if __name__ == "__main__":
    main(run, sources=_digests)
