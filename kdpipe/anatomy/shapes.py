"""The shape of a model: its depth, its width, its heads and its tables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What is known of a model's shape before it exists; None where only its files will tell.

    Args:
        family: model family.
        depth: number of blocks.
        width: size of a hidden state.
        heads: attention heads of a block; 0 where there is no attention.
        neurons: width of a block's feed-forward layer.
        vocabulary: number of token ids.
        positions: longest input in tokens; None too where any length is read.
        prompts: longest input of a head for tokens, where that has a limit of its own.
        embeddings: size of a word embedding, where that may be another than a hidden state's.
        segments: texts of an example that it tells apart; None too where it is not told of them.
        head_size: numbers of a query of a head, where heads do not share the width.
    """

    family: str | None = None
    depth: int | None = None
    width: int | None = None
    heads: int | None = None
    vocabulary: int | None = None
    positions: int | None = None
    neurons: int | None = None
    prompts: int | None = None
    embeddings: int | None = None
    segments: int | None = None
    head_size: int | None = None
