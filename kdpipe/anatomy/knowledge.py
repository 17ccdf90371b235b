"""How much of a teacher's states is distilled: which layers, which tokens of these, which numbers of a token.

Reference:
    Lu et al. 2021, Marginal Utility Diminishes (arXiv 2106.05691);
    github.com/llyx97/Marginal-Utility-Diminishes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from random import Random
from typing import Any, Literal, TypeVar, get_args

from kdpipe.anatomy.layers import parts
from kdpipe.errors import KdpipeError, quoted
from kdpipe.seeds import KEPT, draw_seed

# Tokens are taken from the left, or as the text's first token attends to them, separators last or not.
TokenScheme = Literal["attention_no_sep", "left_first", "attention", "all"]
# The attention that ranks tokens: of the layer that made the state, or of layers that are evenly spread.
RankedBy = Literal["own", "top"]
# Numbers of a state are the largest of an example, evenly spread, or drawn once.
WidthScheme = Literal["magnitude", "uniform", "random"]
# Whether the selection is the paper's, or has the quirks of the published code.
Quirks = Literal["paper", "code"]
AMOUNT = re.compile(r"([1-9]\d{0,5})l_([1-9]\d{0,5})t_(0\.\d*[1-9]\d*|1(?:\.0+)?)h")
SCHEMES = {
    "token_scheme": TokenScheme,
    "ranked_by": RankedBy,
    "hidden_scheme": WidthScheme,
    "compat": Quirks,
}
# Bytes of the position of a token.
POSITION = 2
P = TypeVar("P", bound=tuple[Any, Any])


@dataclass(frozen=True)
class Amount:
    """How much is taken; None for all.

    Args:
        layers: of the pairs of layers that a loss compares, the top ones.
        tokens: tokens of an example.
        hidden: share of the width.
    """

    layers: int | None = None
    tokens: int | None = None
    hidden: float | None = None

    def __post_init__(self) -> None:
        for name in ("layers", "tokens"):
            number = getattr(self, name)
            if number is not None and (type(number) is not int or number < 1):
                raise KdpipeError(
                    f"{name}: expected a number from 1, or None for all, found {quoted(number)}"
                )
        known = isinstance(self.hidden, int | float | None) and not isinstance(self.hidden, bool)
        if not known or (self.hidden is not None and not 0 < self.hidden <= 1):
            what = f"expected a share above 0 and at most 1, found {quoted(self.hidden)}"
            raise KdpipeError(f"hidden: {what}")
        if self.hidden == 1:
            object.__setattr__(self, "hidden", None)

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """Return the amount that a text such as `1l_10t_0.1h` stands for.

        Raises:
            KdpipeError: it stands for none.
        """
        match = AMOUNT.fullmatch(text)
        if match is None:
            what = "layers and tokens from 1, and a share above 0 and at most 1"
            raise KdpipeError(f"expected an amount such as `1l_10t_0.1h`, {what}; found {quoted(text)}")
        return cls(int(match[1]), int(match[2]), float(match[3]))

    def __str__(self) -> str:
        layers, tokens = (("all" if each is None else each) for each in (self.layers, self.tokens))
        return f"{layers}l_{tokens}t_{1 if self.hidden is None else self.hidden:g}h"


@dataclass(frozen=True)
class Share:
    """What is taken of the states of a layer; None for all.

    Args:
        tokens: tokens of an example.
        hidden: share of the width.
        seed: seed of the numbers that are drawn, for `random`.
    """

    tokens: int | None = None
    hidden: float | None = None
    seed: int = 0

    def __str__(self) -> str:
        tokens = "all tokens" if self.tokens is None else f"{self.tokens} tokens"
        if self.hidden is None:
            return tokens
        return f"{tokens}, {self.hidden:g} of the width" + (f" (seed {self.seed})" if self.seed else "")


@dataclass(frozen=True)
class Ways:
    """How states were taken that are stored, whatever the amount; None where whole states are stored.

    Args:
        token_scheme, hidden_scheme, compat: as of `Selection`.
    """

    token_scheme: TokenScheme | None = "attention_no_sep"
    hidden_scheme: WidthScheme | None = "magnitude"
    compat: Quirks | None = "paper"


def ways_of(amount: Amount, tokens: TokenScheme, hidden: WidthScheme, compat: Quirks) -> Ways:
    """Return how an amount is taken: the defaults stand for ways that do not matter for it."""
    ranks = amount.tokens is not None and tokens.startswith("attention")
    return Ways(
        tokens if amount.tokens is not None else Ways.token_scheme,
        hidden if amount.hidden is not None else Ways.hidden_scheme,
        compat if ranks or amount.hidden is not None else Ways.compat,
    )


@dataclass(frozen=True)
class Selection:
    """How much of a teacher's states is distilled, and which.

    Args:
        amount: how much.
        token_scheme: which tokens: as the token that stands for the text attends to them, with separators
            after all others or not; or from the left.
        ranked_by: whose attention ranks tokens, as of `ranking_layer`.
        hidden_scheme: which numbers: of an example the largest, the same in every state spread evenly, or
            drawn once.
        compat: `code` averages attention before its softmax, takes the largest numbers of a whole batch, and
            moves the student's other numbers to zero, as the published code does.
        seed: seed of the numbers that are drawn.
    """

    amount: Amount
    token_scheme: TokenScheme = "attention_no_sep"
    ranked_by: RankedBy = "own"
    hidden_scheme: WidthScheme = "magnitude"
    compat: Quirks = "paper"
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Amount):
            raise KdpipeError(f"amount: expected a kdpipe.Amount, found {quoted(self.amount)}")
        if self.amount.tokens is not None and self.token_scheme == "all":
            raise KdpipeError("token_scheme: `all` takes all tokens; leave `tokens` out, or take others")
        for name, known in SCHEMES.items():
            if (found := getattr(self, name)) not in (names := get_args(known)):
                raise KdpipeError(f"{name}: expected {' or '.join(names)}, found {quoted(found)}")

    @property
    def share(self) -> Share:
        """What is taken of the states of each layer."""
        return Share(self.amount.tokens, self.amount.hidden, self.seed if self.drawn else 0)

    @property
    def stored(self) -> Share:
        """What is stored of the states of each layer, of which the share is taken."""
        return replace(self.share, hidden=None) if self.by_batch else self.share

    @property
    def ranks(self) -> bool:
        """Whether attention ranks the tokens."""
        return self.amount.tokens is not None and self.token_scheme.startswith("attention")

    @property
    def drawn(self) -> bool:
        """Whether the numbers of a state are drawn."""
        return self.amount.hidden is not None and self.hidden_scheme == "random"

    @property
    def by_batch(self) -> bool:
        """Whether the numbers that are taken follow from the whole batch, so that all are stored."""
        return self.compat == "code" and self.hidden_scheme == "magnitude"

    def ranking(self, pair: tuple[Any, Any], teacher: int, student: int) -> int:
        """Return the block whose attention ranks the tokens of a pair of layers; 0 for none."""
        return ranking_layer(pair, self.ranked_by, teacher, student) if self.ranks else 0


def wrong_selection(selection: Selection, loss: Any, modules: bool, positions: str | None) -> str:
    """Return why a selection cannot be taken of what a loss compares; "" where it can.

    Args:
        selection: how much of the teacher's states is distilled, and which.
        loss: has the class attributes of `kdpipe.losses.loss.Loss`, and reads states.
        modules: whether it compares outputs of named modules.
        positions: `all`, `masked`, or None for the positions that suit the loss.
    """
    amount = selection.amount
    if amount.layers and modules:
        return "`layers` takes some pairs of layers, and this loss compares modules"
    if amount.layers and loss.states == "all":
        return "`layers` takes some pairs of layers, and this loss compares all blocks"
    if amount.tokens and loss.first_token:
        return "`tokens` takes some tokens of a text, and this loss reads the first token alone"
    if amount.hidden and loss.compares != "rows":
        return "`hidden` takes some numbers of each state, and this loss compares states as a whole"
    if amount.hidden and loss.states == "all" and selection.hidden_scheme == "magnitude":
        return "`magnitude` takes other numbers of each block, and this loss compares every two blocks"
    if selection.ranks and modules:
        return "attention ranks the tokens of layers, and not of modules; give `token_scheme: left_first`"
    if (amount.tokens or amount.hidden) and positions == "masked":
        return "`positions: masked` chooses tokens already; remove this"
    return ""


def top_pairs(pairs: Sequence[P], layers: int | None) -> tuple[P, ...]:
    """Return the (teacher, student) pairs with the highest layers of the student, in their order.

    Args:
        pairs: the pairs; a side may be several layers.
        layers: how many are returned; None for all, and all where there are fewer.
    """
    if layers is None or len(pairs) <= layers:
        return tuple(pairs)
    by_height = sorted(range(len(pairs)), key=lambda place: max(parts(pairs[place][1])))
    return tuple(pairs[place] for place in sorted(by_height[-layers:]))


def ranking_layer(pair: tuple[Any, Any], by: RankedBy, teacher: int, student: int) -> int:
    """Return the block of the teacher, from 1, whose attention ranks the tokens of a pair of layers.

    Args:
        pair: layers of teacher and student, each several where a loss compares several at once.
        by: the attention of the layer that made the state, `own`; or `top`, the block that evenly spread
            layers give the student's layer, whatever the pair is.
        teacher: depth of the teacher.
        student: depth of the student.
    """
    theirs, ours = (int(max(parts(side))) for side in pair)
    return max(1, theirs if by == "own" else round(ours * teacher / student))


def count_numbers(share: float, numbers: int) -> int:
    """Return how many of some numbers a share of them is: rounded down, but at least one."""
    return max(1, int(share * numbers))


def spread_columns(share: float, width: int) -> list[int]:
    """Return the places of a share of a row's numbers that are spread evenly."""
    return [round(place / share) for place in range(count_numbers(share, width))]


def columns_of(scheme: WidthScheme, share: Share, width: int) -> list[int] | None:
    """Return which numbers are taken of every row; None for all, or where each example has its own."""
    if share.hidden is None or scheme == "magnitude":
        return None
    if scheme == "uniform":
        return spread_columns(share.hidden, width)
    drawn = list(range(width))
    # Smaller shares of a seed are parts of larger ones.
    Random(draw_seed(share.seed, KEPT)).shuffle(drawn)
    return sorted(drawn[: count_numbers(share.hidden, width)])


def is_part(share: Share, whole: Share, scheme: WidthScheme) -> bool:
    """Tell whether all that a share takes is among what another one takes, whatever the width."""
    deep = whole.tokens is None or share.tokens in range(whole.tokens + 1)
    if whole.hidden is None:
        return deep
    if share.hidden is None or share.hidden > whole.hidden or share.seed != whole.seed:
        return False
    if scheme == "magnitude":
        # The largest of fewer tokens are not all among the largest of more.
        return share.tokens == whole.tokens
    return deep and (scheme == "random" or share.hidden == whole.hidden)


def largest_shares(shares: Iterable[Share], scheme: WidthScheme) -> tuple[Share, ...]:
    """Return the shares that are no parts of others, in an order of their own."""
    every = [*dict.fromkeys(shares)]
    if scheme == "magnitude":
        # The largest share of each number of tokens; there may be hundreds of these numbers.
        whole = [share for share in every if share.hidden is None]
        largest: dict[int | None, Share] = {}
        for share in sorted((share for share in every if share.hidden is not None), key=_size):
            largest[share.tokens] = share
        every = [*whole, *largest.values()]
        rivals = whole
    else:
        rivals = every
    kept = [
        share for share in every if not any(is_part(share, each, scheme) for each in rivals if each != share)
    ]
    return tuple(sorted(kept, key=_size))


def _size(share: Share) -> tuple[tuple[bool, float], ...]:
    return tuple((number is None, number or 0) for number in (share.tokens, share.hidden, share.seed))


def covers(stored: Sequence[Share], wanted: Share, scheme: WidthScheme, width: int) -> bool:
    """Tell whether a share can be taken of what was stored for some shares.

    Args:
        stored: what was stored of a signal.
        wanted: the share.
        scheme: which numbers of a state are taken.
        width: the width of a state.
    """
    if any(is_part(wanted, share, scheme) for share in stored):
        return True
    own = columns_of(scheme, wanted, width)
    kept = {column for share in stored for column in columns_of(scheme, share, width) or ()}
    # Columns are stored of all tokens that any share takes.
    deep = any(share.tokens is None or wanted.tokens in range(share.tokens + 1) for share in stored)
    return own is not None and deep and kept.issuperset(own)


def differing_way(
    stored: Ways, shares: Sequence[Share], wanted: Selection, ranked: bool
) -> tuple[str, str | None, str] | None:
    """Return in what way stored states were taken that are of no use for a selection; None where in none.

    Args:
        stored: how they were taken.
        shares: what was stored of a signal.
        wanted: what is taken of it.
        ranked: whether attention ranked its tokens.

    Returns:
        The name of the way, how states were taken, and how they are to be taken.
    """
    share = wanted.stored
    whole = any(is_part(Share(share.tokens), each, wanted.hidden_scheme) for each in shares)
    matters = {
        "token_scheme": ranked,
        "compat": ranked,
        "hidden_scheme": share.hidden is not None and not whole,
    }
    for name in (name for name, counts in matters.items() if counts):
        if (found := getattr(stored, name)) != (own := getattr(wanted, name)):
            return name, found, own
    return None


def stored_bytes(
    shares: Sequence[Share], scheme: WidthScheme | None, length: int, width: int, each: int, ranked: bool
) -> int:
    """Return the most bytes that are stored of a signal of an example.

    Args:
        shares: what is taken of it.
        scheme: which numbers of a state are taken; None where all numbers of a row are stored.
        length: tokens of the example.
        width: numbers of a row.
        each: bytes of a number.
        ranked: whether the positions of tokens are stored.
    """
    taken = [min(length, length if share.tokens is None else share.tokens) for share in shares]
    rows = max(taken)
    places = POSITION * rows if ranked else 0
    whole = scheme is None or any(share.hidden is None for share in shares)
    if not whole and scheme == "magnitude":
        parts = zip(taken, shares, strict=True)
        numbers = sum(count_numbers(share.hidden or 1, tokens * width) for tokens, share in parts)
        return places + min(numbers, rows * width) * each + ceil(rows * width / 8)
    taken_columns = (columns_of(scheme, share, width) for share in shares if scheme)
    columns = {column for each in taken_columns for column in each or ()}
    return places + rows * (width if whole else len(columns)) * each
