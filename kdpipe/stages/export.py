"""Write a model in a format that runs without torch, and compare it with the model."""

import logging
from pathlib import Path

from kdpipe.anatomy.heads import HEADS
from kdpipe.exporting.folder import export_model
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.models.multitask import head_folders
from kdpipe.plan.stages.export import ExportSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def run(settings: ExportSettings, workspace: Workspace, *, model: Path) -> None:
    """Write the graph of a model, and of each of several heads, with the tokenizer beside it."""
    tokenizer = load_tokenizer(model)
    with workspace.artifact() as draft:
        places = {draft.folder: model}
        places |= {draft.folder / HEADS / name: folder for name, folder in head_folders(model).items()}
        distances = {}
        for folder, source in places.items():
            distance = export_model(load_model(source).eval(), tokenizer, folder, settings.format)
            distances[str(folder.relative_to(draft.folder))] = distance
            LOG.info("%s: outputs differ by %.2g of their size from the torch model's", source, distance)
        draft.record(format=settings.format, differs_by=distances)


if __name__ == "__main__":
    main(run)
