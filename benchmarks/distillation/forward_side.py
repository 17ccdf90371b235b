"""The bare side of a cache's building: the teacher runs forward over length-sorted batches, and no more."""

import json

import torch

from benchmarks.distillation import setting
from kdpipe.data.batches import Collator, on_device
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.sampling import batches_by_length
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.family import family_of
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import autocast, choose_precision, default_device
from kdpipe.signals.building import CACHED_BATCH


@torch.no_grad()
def main() -> None:
    """Make the batches, run them, print the seconds."""
    options = setting.parse_arguments()
    clock, device = setting.Clock(), default_device()
    clock.reset(0)
    teacher = load_frozen(options.teacher, head_of(options.data), device)
    split = EncodedSplit(options.data, "train")
    collator = Collator(split, load_tokenizer(options.teacher).pad_token_id)
    inputs = family_of(teacher).inputs
    with autocast(choose_precision({"bf16": options.bf16})):
        for members in batches_by_length(split.lengths, CACHED_BATCH):
            batch = on_device(collator(members.tolist()), device)
            teacher(**{name: tensor for name, tensor in batch.items() if name in inputs})
    clock.update()
    print(json.dumps({"seconds": clock.seconds()[0]}))


if __name__ == "__main__":
    main()
