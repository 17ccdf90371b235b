"""What a model in memory consists of."""

from transformers import PreTrainedModel

from kdpipe.anatomy.analysis import Analysis, Weight


def analyze(model: PreTrainedModel) -> Analysis:
    """Return parameters and memory of the modules of a model, and heads and neurons of its blocks.

    `print` shows the result as tables, and `as_text(depth)` shows modules to another depth.
    """
    weights: dict[str, Weight] = {}
    owners: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owner = owners.setdefault(id(parameter), name)
        count, shape = parameter.numel(), tuple(parameter.shape)
        own = Weight(count, count * parameter.element_size(), shape=shape)
        weights[name] = own if owner == name else Weight(0, 0, owner, shape)
    return Analysis({**model.config.to_dict(), "architectures": [type(model).__name__]}, weights)
