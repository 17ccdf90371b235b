"""Made-up models, for trying a pipeline before the real ones are at hand."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

from kdpipe.commands.sample_data import sentences
from kdpipe.commands.stand_ins import StandIn, small_sizes
from kdpipe.models.creation import create_body, special_tokens, train_wordpiece
from kdpipe.models.loading import Head, load_with_head, save_model

VOCABULARY = 300
LONGEST_INPUT = 512


def write_model(model: StandIn) -> None:
    """Write a random model and a tokenizer of its own words."""
    # Its name among the text sets a tokenizer apart from others.
    text = [*sentences(seed=0), model.tokenizer]
    tokenizer = train_wordpiece(lambda: text, VOCABULARY, LONGEST_INPUT)
    options = {**special_tokens(tokenizer), **small_sizes(model.shape)}
    body = create_body(str(model.shape.family), options, len(tokenizer), model.seed)
    with _quietly():
        save_model(body, tokenizer, model.folder)
        if model.task:
            whole = load_with_head(model.folder, Head(model.task, model.labels), model.seed)
            save_model(whole, tokenizer, model.folder)


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence transformers, to which weights that are drawn at random are news, and its progress bars."""
    disabled, bars = logging.root.manager.disable, transformers_logging.is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.disable(disabled)
        if bars:
            transformers_logging.enable_progress_bar()
