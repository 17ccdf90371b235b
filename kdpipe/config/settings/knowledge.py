"""`knowledge`: how much of a teacher's states is distilled, and which."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, create_model, model_validator

from kdpipe.anatomy.knowledge import Amount, Quirks, RankedBy, Selection, Share, TokenScheme, WidthScheme
from kdpipe.config.paths import LocalPath
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count
from kdpipe.config.settings.explanation import mistake
from kdpipe.errors import KdpipeError


def _read_amount(value: str) -> str:
    try:
        Amount.parse(value)
    except KdpipeError as error:
        raise ValueError(str(error)) from None
    return value


AmountText = Annotated[str, AfterValidator(_read_amount)]


class KnowledgeBase(Settings):
    """How much of the teacher's states is distilled; outputs of its head are not touched.

    Args:
        from: a folder of stored signals that stands for the teacher, relative to the working folder.
        layers: the top pairs of each loss term's `layers`; null for all.
        tokens: tokens of an example, padding never among them; null for all.
        token_scheme: which tokens: those to which the first token (of a causal model the last one) attends
            most, separators after all others (`attention_no_sep`) or among them (`attention`); the first
            tokens (`left_first`); or `all`.
        ranked_by: the attention that ranks tokens: of the block that made the state (`own`), or of the block
            that evenly spread layers give the student's layer (`top`).
        hidden: share of the width, for losses that compare rows; null for all.
        hidden_scheme: which numbers: the largest of each example (`magnitude`), every n-th (`uniform`), or
            numbers that the seed draws once (`random`).
        compat: `code` ranks by attention before its softmax, takes the largest numbers of a whole batch, and
            moves the student's other numbers to zero, as the published code does.
        cached: the amount that is stored, such as `3l_30t_0.5h`; by default what the nodes of the config
            take. Smaller amounts can then be asked for without a new cache.
    """

    layers: Count | None = None
    tokens: Count | None = None
    token_scheme: TokenScheme = "attention_no_sep"
    ranked_by: RankedBy = "own"
    hidden: Annotated[float, Field(gt=0, le=1)] | None = None
    hidden_scheme: WidthScheme = "magnitude"
    compat: Quirks = "paper"
    cached: AmountText | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.tokens is not None and self.token_scheme == "all":
            raise mistake(("token_scheme",), "`all` takes all tokens; remove `tokens`, or take others")
        if self.cached and self.folder:
            raise mistake(("cached",), "says what is stored, and the folder `from` is stored; remove this")
        for name in ("layers", "tokens", "hidden"):
            own, most = getattr(self.amount, name), getattr(self.stored, name)
            if most is not None and (own is None or own > most):
                taken = "all" if own is None else f"{own:g}"
                raise mistake(("cached",), f"{self.cached} has fewer {name} than are taken: {taken}")
        return self

    @property
    def folder(self) -> Path | None:
        """The folder of stored signals that stands for the teacher."""
        found: Path | None = getattr(self, "from")
        return found

    @property
    def amount(self) -> Amount:
        """How much is taken."""
        return Amount(self.layers, self.tokens, self.hidden)

    @property
    def stored(self) -> Amount:
        """How much is stored at least."""
        return Amount.parse(self.cached) if self.cached else self.amount

    def selection(self, seed: int) -> Selection | None:
        """Return what is taken of states, with numbers that a seed draws; None for all."""
        if self.amount == Amount():
            return None
        schemes = self.token_scheme, self.ranked_by, self.hidden_scheme, self.compat
        return Selection(self.amount, *schemes, seed)

    def shares(self, selection: Selection) -> tuple[Share, ...]:
        """Return what is stored of each signal."""
        own, most = selection.share, self.stored
        whole = selection.by_batch or most.hidden is None
        if whole or self.hidden_scheme != "magnitude" or not self.cached:
            return (Share(most.tokens) if whole else Share(most.tokens, most.hidden, own.seed),)
        # The largest numbers of fewer tokens are not all among the largest of more.
        return tuple(Share(tokens, most.hidden) for tokens in range(1, (most.tokens or 0) + 1))


if TYPE_CHECKING:
    KnowledgeSettings = KnowledgeBase
else:
    # The name of the setting is a keyword of Python.
    KnowledgeSettings = create_model(
        "KnowledgeSettings",
        __base__=KnowledgeBase,
        __doc__=KnowledgeBase.__doc__,
        **{"from": (LocalPath | None, None)},
    )


def _read(value: Any) -> Any:
    """Read an amount in one word, such as `1l_10t_0.1h`."""
    if isinstance(value, dict | KnowledgeBase) or value is None:
        return value
    if not isinstance(value, str):
        raise ValueError("should be a mapping, or an amount such as `1l_10t_0.1h`")
    amount = Amount.parse(_read_amount(value))
    return {"layers": amount.layers, "tokens": amount.tokens, "hidden": amount.hidden}


Knowledge = Annotated[
    KnowledgeSettings, BeforeValidator(_read, json_schema_input_type=str | KnowledgeSettings)
]
