"""EncT5: the encoder of T5, and a decoder of one block that reads learned prompts in place of tokens.

References:
    Liu et al. 2021, EncT5 (arXiv 2110.08426); Zhang et al. 2022, MiniDisc (arXiv 2205.14570), whose text
    classifiers have one prompt, and whose token classifiers have a prompt for each position.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    initialization,
)
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5PreTrainedModel, T5Stack

from kdpipe.errors import ModelError


class EncT5Config(T5Config):
    """The config of T5, with a decoder of one block.

    Args:
        n_positions: number of prompts of a token classifier, which is the length of its longest input.
    """

    model_type = "enct5"
    n_positions: int = 512

    def __post_init__(self, **kwargs: Any) -> None:
        """Set one block for the decoder, whatever the checkpoint of a T5 has."""
        super().__post_init__(**kwargs)
        self.num_decoder_layers = 1
        self.is_encoder_decoder = False


class EncT5PreTrainedModel(T5PreTrainedModel):
    """The base class of the models: prompts are drawn like T5's embeddings, classifiers like its layers."""

    config_class = EncT5Config
    base_model_prefix = "enct5"

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PromptedClassifier):
            std = self.config.initializer_factor * self.config.d_model**-0.5
            initialization.normal_(module.classifier.weight, std=std)


class EncT5Model(EncT5PreTrainedModel):
    """The body, which returns the output of its encoder; `decode` runs its decoder on prompts.

    The names of its parts are T5's, so that it reads T5's checkpoints.
    """

    _tied_weights_keys = {  # noqa: RUF012 (transformers has no annotation here)
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    }
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012
        r"decoder\.block\.[1-9]",
        r"EncDecAttention\.relative_attention_bias",
        "lm_head",
    ]

    def __init__(self, config: EncT5Config) -> None:
        super().__init__(config)
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = T5Stack(_stack_config(config, config.num_layers, is_decoder=False))
        self.decoder = T5Stack(_stack_config(config, 1, is_decoder=True))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings, which encoder and decoder share."""
        return self.shared

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> BaseModelOutput:
        """Encode texts [B, L]; options are options of transformers models, such as `output_hidden_states`."""
        output: BaseModelOutput = self.encoder(input_ids, attention_mask=attention_mask, **options)
        return output

    def decode(self, prompts: Tensor, encoded: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Return the decoder's states of the prompts [B, P, H], from their embeddings [P, H]."""
        output = self.decoder(
            inputs_embeds=prompts.expand(len(encoded), -1, -1),
            encoder_hidden_states=encoded,
            encoder_attention_mask=attention_mask,
        )
        decoded: Tensor = output.last_hidden_state
        return decoded


class PromptedClassifier(EncT5PreTrainedModel):
    """An EncT5 whose decoded prompts are classified.

    Args:
        config: the config.
        prompts: number of prompts.
    """

    def __init__(self, config: EncT5Config, prompts: int) -> None:
        super().__init__(config)
        self.enct5 = EncT5Model(config)
        self.prompt = nn.Embedding(prompts, config.d_model)
        self.classifier = nn.Linear(config.d_model, config.num_labels)  # type: ignore[arg-type]
        self.post_init()

    def classify(
        self, input_ids: Tensor, attention_mask: Tensor | None, prompts: int, options: dict[str, Any]
    ) -> tuple[Tensor, BaseModelOutput]:
        """Return the logits of the first `prompts` prompts [B, P, C], and the encoder's output."""
        encoded = self.enct5(input_ids, attention_mask, **options)
        embeddings = self.prompt(torch.arange(prompts, device=input_ids.device))
        decoded = self.enct5.decode(embeddings, encoded.last_hidden_state, attention_mask)
        return self.classifier(decoded), encoded


class EncT5ForSequenceClassification(PromptedClassifier):
    """Classifies texts, or predicts a number for each, from one prompt."""

    def __init__(self, config: EncT5Config) -> None:
        super().__init__(config, prompts=1)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> SequenceClassifierOutput:
        """Return logits [B, C]; arguments as of `EncT5Model.forward`."""
        logits, encoded = self.classify(input_ids, attention_mask, 1, options)
        return SequenceClassifierOutput(logits=logits[:, 0], hidden_states=encoded.hidden_states)


class EncT5ForTokenClassification(PromptedClassifier):
    """Classifies tokens, each from the prompt at its position."""

    def __init__(self, config: EncT5Config) -> None:
        super().__init__(config, prompts=config.n_positions)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any
    ) -> TokenClassifierOutput:
        """Return logits [B, L, C]; arguments as of `EncT5Model.forward`.

        Raises:
            ModelError: the input has more tokens than the model has prompts.
        """
        length = input_ids.shape[1]
        if length > self.config.n_positions:
            raise ModelError(
                f"the model has prompts for {self.config.n_positions} tokens, found a batch of {length}; "
                "lower max_length, or make a model with more `n_positions`"
            )
        logits, encoded = self.classify(input_ids, attention_mask, length, options)
        return TokenClassifierOutput(logits=logits, hidden_states=encoded.hidden_states)


def _stack_config(config: EncT5Config, depth: int, is_decoder: bool) -> EncT5Config:
    stack = copy.deepcopy(config)
    stack.num_layers, stack.is_decoder, stack.use_cache = depth, is_decoder, False
    return stack


AutoConfig.register(EncT5Config.model_type, EncT5Config)
AutoModel.register(EncT5Config, EncT5Model)
AutoModelForSequenceClassification.register(EncT5Config, EncT5ForSequenceClassification)
AutoModelForTokenClassification.register(EncT5Config, EncT5ForTokenClassification)
