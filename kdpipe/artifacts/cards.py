"""The card of a model: a file in the model's folder that is in no digest, and that the user may edit."""

import os
from hashlib import sha256
from pathlib import Path

from kdpipe.artifacts.ownership import facts_of, is_as_written, note_written, state_name, written_files
from kdpipe.artifacts.state import discard
from kdpipe.plan.layout import CARD


def put_card(model: Path, state: Path, text: str) -> bool:
    """Write the card of a model, and note that kdpipe wrote it; tell whether the model has this card.

    A file of the user's in its place stays, be it the user's own or a card of kdpipe's that the user has
    edited. An edited card counts as this card as long as kdpipe would write no other than before.

    Args:
        model: folder of the model; no other process may write there now.
        state: folder of state.
        text: the card.
    """
    card, content, written = model / CARD, text.encode(), written_files(model, state)
    before, digest = written.get(CARD, ()), sha256(content).hexdigest()
    same = [facts for facts in before if facts["sha256"] == digest]
    if is_as_written(card, same):
        return True
    if os.path.lexists(card) and not is_as_written(card, before):
        return bool(same)
    draft = state / "drafts" / f"{state_name(model, state)}+{CARD}"
    discard(draft)
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_bytes(content)
    new = facts_of(draft, digest)
    # A process that is killed in between leaves the old card or the new card.
    note_written(model, state, {**written, CARD: [*before, new]})
    draft.replace(card)
    note_written(model, state, {**written, CARD: [new]})
    return True
