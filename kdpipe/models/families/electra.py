"""ELECTRA: a BERT whose embeddings may be narrower than its blocks."""

from typing import ClassVar

from kdpipe.models.families.bert import Bert


class Electra(Bert):
    """ELECTRA (Clark et al. 2020, arXiv 2003.10555) as transformers builds it.

    Hidden state 0 is what its first block reads: the embeddings after their projection to the blocks' width.
    """

    config_class = "transformers.models.electra.configuration_electra:ElectraConfig"
    lm_modules: ClassVar[tuple[str, ...]] = ("generator_predictions", "generator_lm_head")
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "neurons": "intermediate_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "embeddings": "embedding_size",
        "segments": "type_vocab_size",
    }
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForMaskedLM": ("ElectraForMaskedLM", "generator_predictions.", "generator_"),
        "ForQuestionAnswering": ("ElectraForQuestionAnswering", "qa_outputs."),
        "ForSequenceClassification": ("ElectraForSequenceClassification", "classifier.dense.", "classifier."),
        "ForTokenClassification": ("ElectraForTokenClassification", "classifier.weight", "classifier."),
    }
    other_heads: ClassVar[tuple[str, ...]] = ("discriminator_predictions.",)
    body: ClassVar[tuple[str, ...]] = ("electra.", "embeddings.", "embeddings_project.", "encoder.")
