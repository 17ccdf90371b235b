"""BERT: where its parts lie."""

from typing import ClassVar

from kdpipe.models.family import Family, UnitNames


class Bert(Family):
    """BERT (Devlin et al. 2018, arXiv 1810.04805) as transformers builds it."""

    config_class = "transformers.models.bert.configuration_bert:BertConfig"
    block_list = "encoder.layer"
    lm_modules: ClassVar[tuple[str, ...]] = ("cls",)
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "neurons": "intermediate_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "segments": "type_vocab_size",
    }
    inputs: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask", "token_type_ids")
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForMaskedLM": ("BertForMaskedLM", "cls.predictions.transform.", "cls.predictions."),
        "ForQuestionAnswering": ("BertForQuestionAnswering", "qa_outputs."),
        "ForSequenceClassification": ("BertForSequenceClassification", "classifier.", "bert.pooler."),
        "ForTokenClassification": ("BertForTokenClassification", "classifier."),
    }
    other_heads: ClassVar[tuple[str, ...]] = ("cls.seq_relationship.",)
    body: ClassVar[tuple[str, ...]] = ("bert.", "embeddings.", "encoder.", "pooler.")
    optional: ClassVar[tuple[str, ...]] = ("pooler.",)

    unit_names: ClassVar[dict[str, UnitNames]] = {
        "head": {
            "inputs": ("attention.self.query", "attention.self.key", "attention.self.value"),
            "output": "attention.output.dense",
        },
        "neuron": {"inputs": ("intermediate.dense",), "output": "output.dense"},
    }
