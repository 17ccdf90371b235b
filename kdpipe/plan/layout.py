"""Where artifacts lie below a config's `results` folder (DESIGN section 2)."""

from dataclasses import dataclass
from pathlib import Path

from kdpipe.anatomy.formats import TORCH, model_and_format

MODELS, DATA, COUNTS, IMPORTANCE = "models", "data", "counts", "importance"
KNOWLEDGE, EVALUATIONS, SUBMISSIONS = "knowledge", "evaluations", "submissions"
EXPORTS = "exports"
AUGMENTED, MEASUREMENTS = "augmented", "measurements"
CARDS = "cards"
# The card of a model, in its folder; users may edit it.
CARD = "README.md"


@dataclass(frozen=True)
class Layout:
    """The folders of artifacts.

    Args:
        results: the folder that holds them all.
    """

    results: Path

    def model(self, name: str) -> Path:
        """Folder of a model."""
        return self.results / MODELS / name

    def card(self, name: str) -> Path:
        """Card of a model, or of an exported model by its name, for people and for the Hub."""
        return self.runnable(name) / CARD

    def data(self, dataset: str, tokenizer: str) -> Path:
        """Folder of a dataset encoded with the tokenizer of a node."""
        return self.results / DATA / dataset / tokenizer

    def augmented(self, dataset: str) -> Path:
        """Folder of the training split that a model makes of a dataset."""
        return self.results / AUGMENTED / dataset

    def counts(self, dataset: str, tokenizer: str) -> Path:
        """Folder of a dataset's token counts."""
        return self.results / COUNTS / dataset / tokenizer

    def importance(self, model: str, dataset: str, key: str) -> Path:
        """Folder of the scores of a model's heads and neurons."""
        return self.results / IMPORTANCE / model / dataset / key

    def knowledge(self, teacher: str, dataset: str, key: str) -> Path:
        """Folder of a teacher's cached signals."""
        return self.results / KNOWLEDGE / teacher / dataset / key

    def evaluation(self, model: str, dataset: str) -> Path:
        """Folder of a model's scores on a dataset; the model may be an exported model by its name."""
        return self.results / EVALUATIONS / model / dataset

    def submission(self, model: str, dataset: str) -> Path:
        """Folder of a model's labels of a dataset's test splits."""
        return self.results / SUBMISSIONS / model / dataset

    def export(self, model: str, format: str) -> Path:
        """Folder of a model in a format."""
        return self.results / EXPORTS / model / format

    def runnable(self, name: str) -> Path:
        """Folder of a model, or of an exported model by its name (`kdpipe.anatomy.formats`)."""
        model, format = model_and_format(name)
        return self.model(model) if format == TORCH else self.export(model, format)

    def model_in(self, folder: Path) -> str:
        """Return the model whose folder, or folder in a format, a folder is; "" for another folder."""
        if folder.parent == self.results / MODELS:
            return folder.name
        return folder.parent.name if folder.parent.parent == self.results / EXPORTS else ""

    def measurement(self, model: str) -> Path:
        """Folder of a model's latency, memory and size."""
        return self.results / MEASUREMENTS / model

    @property
    def cards(self) -> Path:
        """Folder with a copy of the card of every model."""
        return self.results / CARDS

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.results / "report"

    @property
    def state(self) -> Path:
        """Folder of resumable and half-written state; never an input."""
        return self.results / ".state"
