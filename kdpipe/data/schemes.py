"""Schemes of tags for the words of entities: IOB1, IOB2, and IOBES, which marks their ends too."""

from collections import Counter
from collections.abc import Mapping, Sequence

OUTSIDE = "O"
# The marks that begin and end an entity. In IOBES, S marks an entity of one word. BILOU has U for S, L for E.
BEGINS, ENDS = "BSU", "ESLU"
MARKS = {*BEGINS, *ENDS, "I"}


def is_tag(text: str) -> bool:
    """Tell whether a text is a tag of one of the schemes."""
    return text == OUTSIDE or (text[:1] in MARKS and text[1:2] == "-" and len(text) > 2)


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags such that every entity begins with B- and goes on with I-; tags in IOB2 stay.

    All schemes read alike, also mixed: an entity begins at B- and S-, and at a tag that follows another type
    or the end of an entity.
    """
    converted = []
    inside = None
    for tag in tags:
        kind = None if tag == OUTSIDE else tag[2:]
        starts = tag[0] in BEGINS or kind != inside
        converted.append(OUTSIDE if kind is None else f"{'B' if starts else 'I'}-{kind}")
        inside = None if tag[0] in ENDS else kind
    return tuple(converted)


def count_tags(tags: Sequence[str]) -> Counter[str]:
    """Return the number of tags of a sentence, and the numbers of tags that only some schemes have.

    IOB2 lacks the `converted` tags, IOB1 the `foreign` tags, and only IOBES has the `ends`.
    """
    changed = sum(tag != original for tag, original in zip(to_iob2(tags), tags, strict=True))
    before = ("", *tags)
    foreign = sum(tag[0] == "B" and tag[2:] != last[2:] for last, tag in zip(before, tags, strict=False))
    ends = sum(tag[0] in ENDS for tag in tags)
    return Counter(tagged=len(tags), converted=changed, foreign=foreign, ends=ends)


def scheme_in_words(counts: Mapping[str, int]) -> str:
    """Return the scheme of a file's tags and the number of converted tags, for the log."""
    if not counts["tagged"]:
        return "no tags"
    if not counts["converted"]:
        return "tags in IOB2"
    mixed = f"in part IOB1 and in part IOB2 ({counts['foreign']} tags)" if counts["foreign"] else "IOB1"
    return f"tags in {'IOBES' if counts['ends'] else mixed}, {counts['converted']} tags converted to IOB2"
