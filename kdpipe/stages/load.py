"""Bring a model into the results: from a directory, an installed package or the Hub."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import PreTrainedModel

from kdpipe.artifacts.sums import file_digest
from kdpipe.data.watch import Watch
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.models.compatibility import check_vocabulary
from kdpipe.models.loading import agree_on_padding, load_model, load_tokenizer, name_labels, save_model
from kdpipe.plan.saved.config import SavedModel, read_saved
from kdpipe.plan.saved.files import CONFIG, LOADED, TRAINED_FAST, WEIGHTS_FILE, files_of
from kdpipe.plan.stages.load import LoadSettings, loaded_files, local_folder
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(settings: LoadSettings, workspace: Workspace) -> None:
    """Copy a model with its head and tokenizer."""
    folder = local_folder(settings.path) or _fetch(settings)
    # A digest takes hours if a file is not what its name says, so this check comes first.
    read_saved(folder)
    with workspace.artifact() as draft, Watch(partial(loaded_files, settings.path)) as files:
        saved = read_saved(folder)
        weights, expected = folder / WEIGHTS_FILE, settings.sha256
        if expected and (sha256 := file_digest(weights)) != expected:
            raise ModelError(
                f"{weights}: expected sha256 {expected}, found {sha256}; check path and revision"
            )
        model, tokenizer = _load(saved, settings.seed)
        if settings.labels is not None:
            name_labels(model, settings.labels)
        save_model(model, tokenizer, draft.folder)
        # A package or the Hub may hold another model at the next start.
        if files.digests:
            draft.record(source_files=files.digests)


def _load(saved: SavedModel, seed: int) -> tuple[PreTrainedModel, Any]:
    """Load model and tokenizer.

    The libraries see a folder with the checked files and nothing else: no further weights, no adapters, no
    code and no other settings.
    """
    with TemporaryDirectory() as place:
        seen = Path(place)
        for file in files_of(saved.folder):
            if file.name != CONFIG:
                (seen / file.name).symlink_to(file.absolute())
        (seen / CONFIG).write_text(json.dumps(saved.config), encoding="utf-8")
        with _errors_told(saved.folder, seen, "model"):
            model = load_model(seen, seed)
        with _errors_told(saved.folder, seen, "tokenizer"):
            tokenizer = load_tokenizer(seen)
            _check_tokenizer(tokenizer, seen)
            check_vocabulary(model.config, tokenizer, seen)
            agree_on_padding(model, tokenizer)
    return model, tokenizer


@contextmanager
def _errors_told(folder: Path, seen: Path, what: str) -> Iterator[None]:
    """Raise an error of a library about the folder that it sees as a ModelError about the user's folder."""
    try:
        yield
    except KdpipeError as error:
        message = str(error).replace(str(seen), str(folder))
        raise ModelError(message if str(folder) in message else f"{folder}: {message}") from None
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".replace(str(seen), str(folder)).split())
        raise ModelError(f"{folder} cannot be loaded as a {what}: {reason[:200]}") from None


def _fetch(settings: LoadSettings) -> Path:
    try:
        return Path(snapshot_download(settings.path, revision=settings.revision, allow_patterns=[*LOADED]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{settings.path!r} could not be fetched from the Hub: {reason}; check name, revision, "
            f"network and the room in {HF_HUB_CACHE}, or give the path of a local folder"
        ) from None


def _check_tokenizer(tokenizer: Any, seen: Path) -> None:
    """Refuse a tokenizer that has no fast version, or that its library made without any of its files."""
    if not tokenizer.is_fast:
        name = type(tokenizer).__name__
        raise ModelError(f"{seen}: there is no fast version of its {name}; {TRAINED_FAST}")
    tokenizer("Any text, as settings of no use are told only then.")
    if not tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens}:
        raise ModelError(
            f"{seen} has a tokenizer that knows no words, as its class reads none of the "
            f"files there; give it a tokenizer.json"
        )


if __name__ == "__main__":
    main(run, sources=lambda settings: Watch(partial(loaded_files, settings.path)).digests)
