"""Schemes of tags for the words of entities: IOB1, IOB2, and IOBES, which marks their ends too."""

from collections import Counter
from collections.abc import Mapping, Sequence

OUTSIDE = "O"
# What begins an entity: in IOBES an S is one of a single word. BILOU says U and L for S and E.
BEGINS, ENDS = "BSU", "ESLU"
MARKS = {*BEGINS, *ENDS, "I"}


def is_tag(text: str) -> bool:
    """Tell whether a text is a tag of one of the schemes."""
    return text == OUTSIDE or (text[:1] in MARKS and text[1:2] == "-" and len(text) > 2)


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags such that every entity begins with B- and goes on with I-; in IOB2 already, they stay.

    All schemes read alike: B- and S- begin an entity, and so does what follows no word of its type or the end
    of one. A mixture of them is no riddle either.
    """
    found = []
    inside = None
    for tag in tags:
        kind = None if tag == OUTSIDE else tag[2:]
        starts = tag[0] in BEGINS or kind != inside
        found.append(OUTSIDE if kind is None else f"{'B' if starts else 'I'}-{kind}")
        inside = None if tag[0] in ENDS else kind
    return tuple(found)


def count_tags(tags: Sequence[str]) -> Counter[str]:
    """Return how many tags a sentence has, and how many of these only some schemes have.

    `converted` are those that IOB2 lacks, `foreign` those that IOB1 lacks, `ends` those of IOBES alone.
    """
    changed = sum(tag != kept for tag, kept in zip(to_iob2(tags), tags, strict=True))
    before = ("", *tags)
    foreign = sum(tag[0] == "B" and tag[2:] != last[2:] for last, tag in zip(before, tags, strict=False))
    ends = sum(tag[0] in ENDS for tag in tags)
    return Counter(tagged=len(tags), converted=changed, foreign=foreign, ends=ends)


def scheme_in_words(found: Mapping[str, int]) -> str:
    """Return which scheme the tags of a file have, and how many of them were converted, for the log."""
    if not found["tagged"]:
        return "no tags"
    if not found["converted"]:
        return "tags in IOB2"
    mixed = f"in part IOB1 and in part IOB2 ({found['foreign']} tags)" if found["foreign"] else "IOB1"
    return f"tags in {'IOBES' if found['ends'] else mixed}, {found['converted']} tags converted to IOB2"
