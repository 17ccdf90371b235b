"""Exported models, as ONNX Runtime runs them where torch models are scored."""

from pathlib import Path
from typing import Any

from kdpipe.evaluation.scoring import head_of
from kdpipe.models.compatibility import check_fit
from kdpipe.models.family import family_of_config
from kdpipe.models.loading import label_order, load_tokenizer, read_model_config
from kdpipe.models.multitask import folder_for
from kdpipe.signals.adapted import Adapted


def load_exported(data: Path, folder: Path) -> tuple[Any, Any]:
    """Load an exported model and its tokenizer, with its logits in the label order of an encoded dataset.

    Of several heads it has the head that is called as the dataset, which lies in `DATASET/TOKENIZER`.
    """
    # Packages of an extra, which no other model needs.
    from kdpipe.exporting.session import OnnxModel

    tokenizer, head = load_tokenizer(folder), head_of(data)
    check_fit(folder, tokenizer, data)
    place = folder_for(folder, data.parent.name)
    config = read_model_config(place)
    order = label_order(place, config, head)
    model = Adapted(
        # Outputs that are tokens or positions have no labels.
        OnnxModel(place, order if order != sorted(order) else None),
        lambda batch, logits: {"logits": logits},
        task=head.task,
        labels=head.labels or (),
        causal=family_of_config(config).causal,
    )
    model.pad_token_id = config.pad_token_id
    return model, tokenizer
