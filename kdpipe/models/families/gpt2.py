"""GPT-2: a causal model that ends in a norm, whose tokenizer has no padding token."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention

from kdpipe.anatomy.families import stock_class
from kdpipe.models.family import Family, UnitNames


class GPT2(Family):
    """GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners")."""

    config_class = "transformers.models.gpt2.configuration_gpt2:GPT2Config"
    block_list = "h"
    last_module = "ln_f"
    lm_modules: ClassVar[tuple[str, ...]] = ("lm_head",)
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "n_layer",
        "width": "n_embd",
        "heads": "n_head",
        "neurons": "n_inner",
        "vocabulary": "vocab_size",
        "positions": "n_positions",
    }
    # The head that predicts tokens has no tensors of its own; a body alone has names without a prefix.
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForQuestionAnswering": ("GPT2ForQuestionAnswering", "qa_outputs."),
        "ForSequenceClassification": ("GPT2ForSequenceClassification", "score."),
        "ForTokenClassification": ("GPT2ForTokenClassification", "classifier."),
        "ForCausalLM": ("GPT2LMHeadModel", "transformer.|lm_head."),
    }
    other_heads: ClassVar[tuple[str, ...]] = ("multiple_choice_head.",)
    body: ClassVar[tuple[str, ...]] = ("transformer.", "wte.", "wpe.", "h.", "ln_f.")
    optional: ClassVar[tuple[str, ...]] = (".attn.masked_bias",)
    unit_names: ClassVar[dict[str, UnitNames]] = {
        "head": {"inputs": ("attn.c_attn",), "output": "attn.c_proj"},
        "neuron": {"inputs": ("mlp.c_fc",), "output": "mlp.c_proj"},
    }
    causal = True
    # Queries, keys and values come out of one map.
    sliced = False
    simulated = False

    @classmethod
    def run(cls, model: Any, inputs: Mapping[str, Tensor]) -> Any:
        """Return the output of a model on a batch; texts are classified by their last token.

        transformers takes the last token whose id is not the padding's, but a text may have this id too.
        """
        if stock_class(type(model).__name__) != cls.heads["ForSequenceClassification"][0]:
            return model(**inputs)
        final = model.base_model(**inputs).last_hidden_state
        last = inputs["attention_mask"].sum(-1) - 1
        return SequenceClassifierOutput(logits=model.score(final[torch.arange(len(final)), last]))

    @classmethod
    def refit(cls, body: Any) -> None:
        """Let the blocks of a body that has lost units run with the units that are left."""
        for block in cls.blocks(body):
            attention: Any = block.attn
            mlp: Any = block.mlp
            attention.split_size = attention.c_proj.weight.shape[0]
            if not attention.split_size:
                attention.__class__ = EmptyAttention
            if not mlp.c_proj.weight.shape[0]:
                mlp.__class__ = EmptyMLP


class EmptyAttention(GPT2Attention):
    """An attention without heads: the bias of its last map is left."""

    def forward(self, hidden_states: Any, *args: Any, **options: Any) -> Any:
        """Return the bias at every position."""
        return self.resid_dropout(self.c_proj.bias.expand_as(hidden_states)), None


class EmptyMLP(GPT2MLP):
    """A feed-forward layer without neurons: the bias of its last map is left."""

    def forward(self, hidden_states: Any) -> Tensor:
        """Return the bias at every position."""
        return self.dropout(self.c_proj.bias.expand_as(hidden_states))  # type: ignore[no-any-return]
