"""T5's encoder, whose classifiers are those of EncT5."""

from typing import Any, ClassVar

from torch import nn

from kdpipe.models.enct5 import EncT5Config
from kdpipe.models.family import Family


class T5(Family):
    """T5 (Raffel et al. 2019, arXiv 1910.10683) as an EncT5 (Liu et al. 2021, arXiv 2110.08426).

    A checkpoint of T5 is read as one: its encoder and the first block of its decoder.
    """

    config_class = "kdpipe.models.enct5:EncT5Config"
    # Positions are relative: any length is read, but by classifiers of tokens.
    shape_fields: ClassVar[dict[str, str]] = {
        "depth": "num_layers",
        "width": "d_model",
        "heads": "num_heads",
        "vocabulary": "vocab_size",
        "prompts": "n_positions",
    }
    heads: ClassVar[dict[str, str]] = {
        "ForSequenceClassification": "EncT5ForSequenceClassification",
        "ForTokenClassification": "EncT5ForTokenClassification",
    }
    heads_share_width = False

    @staticmethod
    def adapt(config: Any) -> Any:
        """Return the config with which a checkpoint is read that has the given one."""
        if isinstance(config, EncT5Config):
            return config
        fields = config.to_dict()
        return EncT5Config(**{name: fields[name] for name in fields.keys() - {"model_type", "architectures"}})

    @staticmethod
    def blocks(body: Any) -> nn.ModuleList:
        """Return the blocks; the first input of the n-th, from 0, is hidden state n."""
        return body.encoder.block  # type: ignore[no-any-return]

    @classmethod
    def last(cls, body: Any) -> nn.Module:
        """Return the module whose output is the last hidden state."""
        return body.encoder.final_layer_norm  # type: ignore[no-any-return]
