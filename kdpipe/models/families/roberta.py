"""RoBERTa: a BERT whose positions are counted from the id of its padding token, and without token types."""

from typing import ClassVar

from kdpipe.models.families.bert import Bert


class Roberta(Bert):
    """RoBERTa (Liu et al. 2019, arXiv 1907.11692) as transformers builds it."""

    config_class = "transformers.models.roberta.configuration_roberta:RobertaConfig"
    lm_modules: ClassVar[tuple[str, ...]] = ("lm_head",)
    # All tokens take the first row of its table of token types, so that it has no segments.
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "neurons": "intermediate_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    inputs = ("input_ids", "attention_mask")
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForMaskedLM": ("RobertaForMaskedLM", "lm_head.dense.", "lm_head."),
        "ForQuestionAnswering": ("RobertaForQuestionAnswering", "qa_outputs."),
        "ForSequenceClassification": ("RobertaForSequenceClassification", "classifier.dense.", "classifier."),
        "ForTokenClassification": ("RobertaForTokenClassification", "classifier.weight", "classifier."),
    }
    other_heads: ClassVar[tuple[str, ...]] = ()
    body: ClassVar[tuple[str, ...]] = ("roberta.", "embeddings.", "encoder.", "pooler.")
    # Padding, whose id is 1, takes position 1; the first token has position 2.
    reserved_positions = 2
