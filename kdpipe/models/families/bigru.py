"""The bidirectional GRU: where its parts lie."""

from typing import Any, ClassVar

from torch import nn

from kdpipe.models.family import Family


class BiGRU(Family):
    """The BiGRU student of TextBrewer (Yang et al. 2020, arXiv 2002.12620)."""

    config_class = "kdpipe.models.bigru:BiGRUConfig"
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_hidden_layers",
        "width": "hidden_size",
        "vocabulary": "vocab_size",
    }
    factorized = False
    sliced = False
    heads: ClassVar[dict[str, str]] = {
        "ForSequenceClassification": "BiGRUForSequenceClassification",
        "ForTokenClassification": "BiGRUForTokenClassification",
    }
    head_tensors: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForSequenceClassification": ("classifier.",),
        "ForTokenClassification": ("classifier.",),
    }
    body: ClassVar[tuple[str, ...]] = ("bigru.", "embeddings.", "layers.")

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the first input of the n-th, from 0, is hidden state n."""
        return body.layers  # type: ignore[no-any-return]
