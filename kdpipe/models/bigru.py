"""A bidirectional GRU: a student that is no transformer.

References:
    Yang et al. 2020, TextBrewer (arXiv 2002.12620). Its student for entity recognition has one layer of width
    768 and 31M parameters over a vocabulary of 28,996; its code was not published. Our model projects the
    states of both directions to this width, and has 30.5M parameters.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput, TokenClassifierOutput


class BiGRUConfig(PreTrainedConfig):
    """The shape of a bidirectional GRU.

    Args:
        vocab_size: entries of the vocabulary.
        hidden_size: width of the embeddings, of each direction, and of the hidden states.
        num_hidden_layers: number of layers.
        hidden_dropout_prob: probability that an element of a hidden state is dropped.
        initializer_range: standard deviation of the embeddings and projections of an untrained model.
        pad_token_id: id of the padding token.
    """

    model_type = "bigru"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 1
    hidden_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int | None = 0


class BiGRULayer(nn.Module):
    """A GRU in each direction, and a projection of both outputs to the width of one direction."""

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of the layer; the backward direction of a row starts at its last token."""
        run = _onnx_operator if torch.onnx.is_in_onnx_export() else _packed
        projected: Tensor = self.dropout(self.projection(run(self.gru, states, lengths)))
        return projected


def _packed(gru: nn.GRU, states: Tensor, lengths: Tensor) -> Tensor:
    """Return the states of both directions [B, L, 2H] for states [B, L, H] of rows with some lengths [B]."""
    packed = pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=states.shape[1])[0]


def _onnx_operator(gru: nn.GRU, states: Tensor, lengths: Tensor) -> Tensor:
    """Return the same in an ONNX graph, whose operator takes the gates in another order than PyTorch.

    Reference:
        The operator `GRU` of the ONNX specification: gates z, r, h; PyTorch has r, z, n.
    """

    def stacked(name: str) -> Tensor:
        directions = [getattr(gru, f"{name}_l0{direction}") for direction in ("", "_reverse")]
        gates = [[part.chunk(3)[gate] for gate in (1, 0, 2)] for part in directions]
        return torch.stack([torch.cat(each) for each in gates])

    biases = torch.cat([stacked("bias_ih"), stacked("bias_hh")], 1)
    length, rows, width = states.shape[1], states.shape[0], gru.hidden_size
    output = torch.onnx.ops.symbolic(
        "GRU",
        [states.transpose(0, 1), stacked("weight_ih"), stacked("weight_hh"), biases, lengths.int()],
        {"hidden_size": width, "direction": "bidirectional", "linear_before_reset": 1},
        dtype=states.dtype,
        shape=(length, 2, rows, width),
    )
    return output.permute(2, 0, 1, 3).reshape(rows, length, 2 * width)


class BiGRUPreTrainedModel(PreTrainedModel):
    """The base class of the models."""

    config_class = BiGRUConfig
    base_model_prefix = "bigru"

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.GRU):
            # PyTorch initializes a GRU so.
            bound = module.hidden_size**-0.5
            for parameter in module.parameters():
                initialization.uniform_(parameter, -bound, bound)


class BiGRUModel(BiGRUPreTrainedModel):
    """Embeddings and layers."""

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(BiGRULayer(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings."""
        return self.embeddings

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> BaseModelOutput:
        """Return the states of the last layer [B, L, H] for token ids [B, L], padded on the right."""
        lengths = _mask(input_ids, attention_mask).sum(1).clamp(min=1).cpu()
        states = self.dropout(self.embeddings(input_ids))
        for layer in self.layers:
            states = layer(states, lengths)
        return BaseModelOutput(last_hidden_state=states)


class BiGRUClassifier(BiGRUPreTrainedModel):
    """Body and classifier."""

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__(config)
        self.bigru = BiGRUModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)  # type: ignore[arg-type]
        self.post_init()


class BiGRUForSequenceClassification(BiGRUClassifier):
    """Classifies texts, or predicts a number for each, from the mean of the states of its tokens."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SequenceClassifierOutput:
        """Return logits [B, C]; arguments as of `BiGRUModel.forward`."""
        states = self.bigru(input_ids, attention_mask).last_hidden_state
        mask = _mask(input_ids, attention_mask).unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        return SequenceClassifierOutput(logits=self.classifier(mean))


class BiGRUForTokenClassification(BiGRUClassifier):
    """Classifies tokens by their states."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> TokenClassifierOutput:
        """Return logits [B, L, C]; arguments as of `BiGRUModel.forward`."""
        states = self.bigru(input_ids, attention_mask).last_hidden_state
        return TokenClassifierOutput(logits=self.classifier(states))


def _mask(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    return input_ids.new_ones(input_ids.shape) if attention_mask is None else attention_mask


AutoConfig.register(BiGRUConfig.model_type, BiGRUConfig)
AutoModel.register(BiGRUConfig, BiGRUModel)
AutoModelForSequenceClassification.register(BiGRUConfig, BiGRUForSequenceClassification)
AutoModelForTokenClassification.register(BiGRUConfig, BiGRUForTokenClassification)
