"""T5's encoder, with the classifiers of EncT5."""

from typing import Any, ClassVar

from torch import Tensor
from transformers.models.t5.modeling_t5 import T5Attention

from kdpipe.models.enct5 import EncT5Config
from kdpipe.models.family import Family, UnitNames
from kdpipe.models.units import Group, Groups, RankBuffers


class T5(Family):
    """T5 (Raffel et al. 2019, arXiv 1910.10683) as an EncT5 (Liu et al. 2021, arXiv 2110.08426).

    A checkpoint of T5 gives its encoder and the first block of its decoder.
    """

    config_class = "kdpipe.models.enct5:EncT5Config"
    block_list = "encoder.block"
    # This module reads the embeddings first, and in the end the output of the final norm.
    last_module = "encoder.dropout"
    # Positions are relative: models read any length, apart from classifiers of tokens.
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_layers",
        "width": "d_model",
        "heads": "num_heads",
        "neurons": "d_ff",
        "vocabulary": "vocab_size",
        "prompts": "n_positions",
        "head_size": "d_kv",
    }
    heads: ClassVar[dict[str, tuple[str, ...]]] = {
        "ForSequenceClassification": ("EncT5ForSequenceClassification", "prompt.", "classifier."),
        "ForTokenClassification": ("EncT5ForTokenClassification", "prompt.", "classifier."),
    }
    other_heads: ClassVar[tuple[str, ...]] = ("lm_head.",)
    body: ClassVar[tuple[str, ...]] = ("enct5.", "shared.", "encoder.", "decoder.")
    heads_share_width = False
    # Encoder and decoder share their embeddings.
    factorized = False
    unit_names: ClassVar[dict[str, UnitNames]] = {
        "head": {
            "inputs": ("layer.0.SelfAttention.q", "layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
            "output": "layer.0.SelfAttention.o",
        },
        "neuron": {"inputs": ("layer.1.DenseReluDense.wi",), "output": "layer.1.DenseReluDense.wo"},
    }
    # The decoder attends to itself and to the encoder.
    other_places: ClassVar[dict[str, int]] = {"heads": 2, "neurons": 1}

    @staticmethod
    def adapt(config: Any) -> Any:
        if isinstance(config, EncT5Config):
            return config
        fields = config.to_dict()
        return EncT5Config(**{name: fields[name] for name in fields.keys() - {"model_type", "architectures"}})

    @classmethod
    def head_size(cls, config: Any) -> int:
        return config.d_kv  # type: ignore[no-any-return]

    @classmethod
    def groups(cls, body: Any) -> Groups:
        """Return the heads and neurons of the encoder's blocks, then of the decoder's, as in MiniDisc."""
        encoder = [f"encoder.block.{index}" for index in range(len(cls.blocks(body)))]
        decoder = "decoder.block.0"
        places = [f"{block}.layer.0.SelfAttention" for block in (*encoder, decoder)]
        attentions = [*places, f"{decoder}.layer.1.EncDecAttention"]
        layers = [*(f"{block}.layer.1" for block in encoder), f"{decoder}.layer.2"]
        gated = body.config.is_gated_act
        return {
            "head": [_heads(name, body.config.d_kv) for name in attentions],
            "neuron": [_neurons(f"{name}.DenseReluDense", gated) for name in layers],
        }

    @classmethod
    def attention_bias(cls, body: Any, attention: Any, length: int) -> Tensor | None:
        """Return the bias of relative positions [1, A, L, L], which the first block has for all blocks."""
        bias: Tensor = body.encoder.block[0].layer[0].SelfAttention.compute_bias(length, length)
        return bias[:, attention.ranks.index] if isinstance(attention, PrunedAttention) else bias

    @classmethod
    def refit(cls, body: Any) -> None:
        """Let attentions that have lost heads take their share of the relative positions."""
        for group in cls.groups(body)["head"]:
            attention = body.get_submodule(group.output.removesuffix(".o"))
            attention.__class__ = PrunedAttention


def _heads(name: str, size: int) -> Group:
    return Group("head", tuple(f"{name}.{part}" for part in "qkv"), f"{name}.o", size, f"{name}.ranks")


def _neurons(name: str, gated: bool) -> Group:
    inputs = ("wi_0", "wi_1") if gated else ("wi",)
    return Group("neuron", tuple(f"{name}.{part}" for part in inputs), f"{name}.wo", 1, f"{name}.ranks")


class PrunedAttention(T5Attention):
    """An attention with some of the heads of its unpruned ancestor.

    The table of relative positions, which the first block has and all blocks share, keeps all heads.
    """

    ranks: RankBuffers

    def forward(
        self,
        hidden_states: Any,
        mask: Any = None,
        key_value_states: Any = None,
        position_bias: Any = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Attend with the heads that are left, and pass on the bias of all heads [1, heads, L, K]."""
        if position_bias is None:
            keys = hidden_states if key_value_states is None else key_value_states
            position_bias = self._position_bias(hidden_states.shape[1], keys.shape[1], hidden_states)
        bias = position_bias.index_select(1, self.ranks.index)
        output, _, weights = super().forward(hidden_states, mask, key_value_states, bias, *args, **options)
        return output, position_bias, weights

    def _position_bias(self, queries: int, keys: int, like: Tensor) -> Tensor:
        if self.has_relative_attention_bias:
            bias: Tensor = self.compute_bias(queries, keys, device=like.device)  # type: ignore[no-untyped-call]
            return bias
        return like.new_zeros(1, self.n_heads, queries, keys)
