"""The runs of an interchange intervention as the published code makes them: three whole runs of a model.

Loops copy the activations, number by number, so that nothing is shared with kdpipe's own runs.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from kdpipe.anatomy.alignments import At, Read, Site
from kdpipe.models.family import family_of
from kdpipe.signals.capture import Request, Signals, capture

PARTS = ("queries", "keys", "values")


def place_of(model: Any, block: int, at: At) -> tuple[nn.Module, bool, int]:
    """Return the module of a site in a block, whether it reads the activations, and where they begin."""
    family, body = family_of(model), model.base_model
    if at == "output":
        return family.blocks(body)[block], False, 0
    group = family.groups(body)["head"][block]
    if at == "heads":
        return body.get_submodule(group.output), True, 0
    part = PARTS.index(at)
    if len(group.inputs) == 1:
        return body.get_submodule(group.inputs[0]), False, part * group.count(body) * group.size
    return body.get_submodule(group.inputs[part]), False, 0


def columns_of(model: Any, site: Site, at: At) -> list[int]:
    family, body = family_of(model), model.base_model
    fields = family.shape_fields
    heads = getattr(model.config, fields["heads"]) if "heads" in fields else 1
    size = getattr(model.config, fields["width"]) // heads
    if at != "output":
        group = family.groups(body)["head"][site.blocks[0]]
        heads, size = group.count(body), group.size
    first, last = site.dims or (0, size)
    return [head * size + number for head in site.heads or range(heads) for number in range(first, last)]


def counterfactual(  # noqa: C901 (three runs, written out)
    model: Any,
    batch: Mapping[str, Any],
    request: Request,
    site: Site,
    at: At = "output",
    read: Read = "aligned",
) -> Signals:
    """Return the signals of a run in which activations of the source replace those of the base."""
    exchange, columns = batch["exchange"], columns_of(model, site, at)
    rows = list(zip(exchange["write"].tolist(), exchange["read"].tolist(), strict=True))
    found: dict[int, Tensor] = {}
    handles = []

    def keep(block: int, states: Tensor) -> None:
        found[block] = states

    for block in site.blocks:
        module, reads, _ = place_of(model, block, at)
        if reads or read == "shifted":
            hook = module.register_forward_pre_hook(lambda _, args, block=block: keep(block, args[0]))
        else:
            hook = module.register_forward_hook(
                lambda _, args, output, block=block: keep(
                    block, output if isinstance(output, Tensor) else output[0]
                )
            )
        handles.append(hook)
    inputs = family_of(model).inputs
    source = exchange["source"]
    model(**{name: source[name] for name in inputs if name in source})
    for handle in handles:
        handle.remove()

    def swapped(block: int, states: Tensor, first: int) -> Tensor:
        states, length = states.clone(), batch["input_ids"].shape[1]
        wide = source["input_ids"].shape[1]
        for write, taken in rows:
            for column in columns:
                value = found[block][taken // wide, taken % wide, first + column]
                states[write // length, write % length, first + column] = value
        return states

    handles = []
    for block in site.blocks:
        module, reads, first = place_of(model, block, at)
        if reads:
            hook = module.register_forward_pre_hook(
                lambda _, args, block=block, first=first: (swapped(block, args[0], first), *args[1:])
            )
        else:
            hook = module.register_forward_hook(
                lambda _, args, output, block=block, first=first: (
                    swapped(block, output, first)
                    if isinstance(output, Tensor)
                    else (swapped(block, output[0], first), *output[1:])
                )
            )
        handles.append(hook)
    try:
        return capture(model, batch, request)
    finally:
        for handle in handles:
            handle.remove()
