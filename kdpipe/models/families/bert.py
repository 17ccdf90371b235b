"""BERT: where its parts lie."""

from typing import Any, ClassVar

from torch import Tensor, nn


class Bert:
    """BERT (Devlin et al. 2018, arXiv 1810.04805) as transformers builds it."""

    config_class = "transformers.models.bert.configuration_bert:BertConfig"
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    causal = False
    inputs = ("input_ids", "attention_mask", "token_type_ids")

    @staticmethod
    def embeddings(body: Any) -> nn.Module:
        """Return the module whose output is hidden state 0."""
        return body.embeddings  # type: ignore[no-any-return]

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the output of the n-th is hidden state n."""
        return body.encoder.layer  # type: ignore[no-any-return]

    @staticmethod
    def lm_logits(model: Any, hidden: Tensor) -> Tensor:
        """Map final hidden states [N, H] to logits over the vocabulary [N, V]."""
        return model.cls(hidden)  # type: ignore[no-any-return]

    @staticmethod
    def classifier(model: Any) -> nn.Linear:
        """Return the last layer of the classification head."""
        return model.classifier  # type: ignore[no-any-return]
