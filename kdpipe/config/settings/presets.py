"""Loss terms that go by a name: the matches of TextBrewer's examples and of "Marginal Utility Diminishes".

They sum over their pairs of layers. The maps hold for any depths of teacher and student.

Reference:
    `examples/matches/matches.py` of airaria/TextBrewer; Liu et al., Marginal Utility Diminishes (arXiv
    2106.05691), section 4, with the layer schemes of its code.
"""

from collections.abc import Mapping
from typing import Any

from kdpipe.config.settings.explanation import mistake, read_name

LINEAR = {"kind": "linear"}
ATTENTIONS: Mapping[str, dict[str, Any]] = {
    "attention_mse": {"loss": "attention_mse"},
    "attention_mse_sum": {"loss": "attention_mse", "heads": "sum"},
    "attention_ce": {"loss": "attention_ce"},
    "attention_ce_mean": {"loss": "attention_ce", "heads": "mean"},
}


def _term(loss: str, layers: str, **options: Any) -> dict[str, Any]:
    return {"loss": loss, "layers": layers, "over_pairs": "sum", **options}


PRESETS: Mapping[str, dict[str, Any]] = {
    "L3_hidden_mse": _term("hidden_mse", "spaced"),
    "L3n_hidden_mse": _term("hidden_mse", "spaced", projection=LINEAR),
    "L3_hidden_smmd": _term("mmd", "spaced"),
    "L4t_hidden_mse": _term("hidden_mse", "spaced", projection=LINEAR),
    "L4_hidden_smmd": _term("mmd", "spaced"),
    "L4t_hidden_sgram": _term("gram", "spaced", projection=LINEAR),
    "L6_hidden_mse": _term("hidden_mse", "spaced"),
    "L6_hidden_smmd": _term("mmd", "spaced"),
    "small_hidden_mse": _term("hidden_mse", "every:2", projection=LINEAR),
    "small_hidden_smmd": _term("mmd", "every:2"),
    **{f"L{n}_{name}": _term(layers="spaced", **term) for n in (3, 4) for name, term in ATTENTIONS.items()},
    **{f"t_top{top}_hidden_mse": _term("hidden_mse", f"top:{top}") for top in (8, 10, 12)},
}


def expanded(term: dict[str, Any]) -> dict[str, Any]:
    """Return the term that a term with a `preset` stands for.

    Raises:
        ValidationError: there is no such preset, or the term says what the preset says.
    """
    preset = PRESETS[read_name(term, "preset", PRESETS)]
    for name in preset:
        if name in term and name != "projection":
            raise mistake((name,), "the preset says it; remove this, or give the term without `preset`")
    return preset | {name: setting for name, setting in term.items() if name != "preset"}
