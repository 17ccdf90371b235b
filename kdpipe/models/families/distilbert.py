"""DistilBERT: where its parts lie."""

from typing import Any, ClassVar

from torch import Tensor, nn


class DistilBert:
    """DistilBERT (Sanh et al. 2019, arXiv 1910.01108) as transformers builds it."""

    config_class = "transformers.models.distilbert.configuration_distilbert:DistilBertConfig"
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "n_layers",
        "width": "dim",
        "heads": "n_heads",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    causal = False
    inputs = ("input_ids", "attention_mask")

    @staticmethod
    def embeddings(body: Any) -> nn.Module:
        """Return the module whose output is hidden state 0."""
        return body.embeddings  # type: ignore[no-any-return]

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the output of the n-th is hidden state n."""
        return body.transformer.layer  # type: ignore[no-any-return]

    @staticmethod
    def lm_logits(model: Any, hidden: Tensor) -> Tensor:
        """Map final hidden states [N, H] to logits over the vocabulary [N, V]."""
        transformed = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
        return model.vocab_projector(transformed)  # type: ignore[no-any-return]

    @staticmethod
    def classifier(model: Any) -> nn.Linear:
        """Return the last layer of the classification head."""
        return model.classifier  # type: ignore[no-any-return]
