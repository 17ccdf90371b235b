"""DistilBERT: where its parts lie, and which parts of a BERT they are copied from."""

from typing import ClassVar

from kdpipe.models.family import Family, NameMap, UnitNames


class DistilBert(Family):
    """DistilBERT (Sanh et al. 2019, arXiv 1910.01108) as transformers builds it.

    It has no place for the token-type embeddings of a BERT. The first layer of its classification head takes
    the pooler's weights, though a ReLU follows this layer where BERT has a tanh.

    Reference:
        `extract_distilbert.py` of the DistilBERT research code in transformers.
    """

    config_class = "transformers.models.distilbert.configuration_distilbert:DistilBertConfig"
    block_list = "transformer.layer"
    lm_modules: ClassVar[tuple[str, ...]] = (
        "vocab_transform",
        "activation",
        "vocab_layer_norm",
        "vocab_projector",
    )
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "n_layers",
        "width": "dim",
        "heads": "n_heads",
        "neurons": "hidden_dim",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    }
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForMaskedLM": ("DistilBertForMaskedLM", "vocab_transform.", "vocab_"),
        "ForQuestionAnswering": ("DistilBertForQuestionAnswering", "qa_outputs."),
        "ForSequenceClassification": (
            "DistilBertForSequenceClassification",
            "pre_classifier.",
            "classifier.",
        ),
        "ForTokenClassification": ("DistilBertForTokenClassification", "classifier."),
    }
    body: ClassVar[tuple[str, ...]] = ("distilbert.", "embeddings.", "transformer.")
    copied_from: ClassVar[dict[str, NameMap]] = {
        "bert": {
            "config": {
                "vocab_size": "vocab_size",
                "max_position_embeddings": "max_position_embeddings",
                "n_heads": "num_attention_heads",
                "dim": "hidden_size",
                "hidden_dim": "intermediate_size",
                "dropout": "hidden_dropout_prob",
                "attention_dropout": "attention_probs_dropout_prob",
                "activation": "hidden_act",
                "initializer_range": "initializer_range",
                "pad_token_id": "pad_token_id",
                "tie_word_embeddings": "tie_word_embeddings",
            },
            "fixed": {"layer_norm_eps": 1e-12},
            "body": {
                "embeddings.word_embeddings": "embeddings.word_embeddings",
                "embeddings.position_embeddings": "embeddings.position_embeddings",
                "embeddings.LayerNorm": "embeddings.LayerNorm",
            },
            "block": {
                "attention.q_lin": "attention.self.query",
                "attention.k_lin": "attention.self.key",
                "attention.v_lin": "attention.self.value",
                "attention.out_lin": "attention.output.dense",
                "sa_layer_norm": "attention.output.LayerNorm",
                "ffn.lin1": "intermediate.dense",
                "ffn.lin2": "output.dense",
                "output_layer_norm": "output.LayerNorm",
            },
            "heads": {
                "": {},
                "ForMaskedLM": {
                    "vocab_transform": "cls.predictions.transform.dense",
                    "vocab_layer_norm": "cls.predictions.transform.LayerNorm",
                    "vocab_projector": "cls.predictions.decoder",
                },
                "ForSequenceClassification": {
                    "pre_classifier": "bert.pooler.dense",
                    "classifier": "classifier",
                },
                "ForTokenClassification": {"classifier": "classifier"},
                "ForQuestionAnswering": {"qa_outputs": "qa_outputs"},
            },
        }
    }

    unit_names: ClassVar[dict[str, UnitNames]] = {
        "head": {
            "inputs": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
            "output": "attention.out_lin",
        },
        "neuron": {"inputs": ("ffn.lin1",), "output": "ffn.lin2"},
    }
