"""DistilBERT: where its parts lie."""

from typing import Any, ClassVar

from torch import Tensor, nn

from kdpipe.models.family import Family


class DistilBert(Family):
    """DistilBERT (Sanh et al. 2019, arXiv 1910.01108) as transformers builds it."""

    config_class = "transformers.models.distilbert.configuration_distilbert:DistilBertConfig"
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "n_layers",
        "width": "dim",
        "heads": "n_heads",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    heads: ClassVar[dict[str, str]] = {
        "ForMaskedLM": "DistilBertForMaskedLM",
        "ForSequenceClassification": "DistilBertForSequenceClassification",
        "ForTokenClassification": "DistilBertForTokenClassification",
        "ForQuestionAnswering": "DistilBertForQuestionAnswering",
    }

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the first input of the n-th, from 0, is hidden state n."""
        return body.transformer.layer  # type: ignore[no-any-return]

    @staticmethod
    def lm_logits(model: Any, hidden: Tensor) -> Tensor:
        """Map final hidden states [N, H] to logits over the vocabulary [N, V]."""
        transformed = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
        return model.vocab_projector(transformed)  # type: ignore[no-any-return]
