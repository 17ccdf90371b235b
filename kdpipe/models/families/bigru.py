"""The bidirectional GRU: where its parts lie."""

from typing import ClassVar

from kdpipe.models.family import Family


class BiGRU(Family):
    """The BiGRU student of TextBrewer (Yang et al. 2020, arXiv 2002.12620)."""

    config_class = "kdpipe.models.bigru:BiGRUConfig"
    block_list = "layers"
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_hidden_layers",
        "width": "hidden_size",
        "vocabulary": "vocab_size",
    }
    factorized = False
    sliced = False
    simulated = False
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForSequenceClassification": ("BiGRUForSequenceClassification", "classifier."),
        "ForTokenClassification": ("BiGRUForTokenClassification", "classifier."),
    }
    body: ClassVar[tuple[str, ...]] = ("bigru.", "embeddings.", "layers.")
