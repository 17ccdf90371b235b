"""Write the card of every model, and copy each card into the folder of its model."""

from pathlib import Path

import pyarrow.parquet as pq

from kdpipe.artifacts.cards import put_card
from kdpipe.artifacts.ownership import state_name
from kdpipe.artifacts.sums import verify
from kdpipe.cards.card import Cards
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import CARDS
from kdpipe.runner.command_line import main
from kdpipe.runner.lock import locked
from kdpipe.runner.provenance import provenance
from kdpipe.runner.workspace import Workspace


def run(workspace: Workspace, *, config: Path) -> None:
    """Write all cards, then name each card that the user has edited, and that would be another one now."""
    graph = load_graph([config])
    verify(graph.layout.report)
    origin = provenance(graph, "card", CARDS)
    cards = Cards(graph, pq.read_table(graph.layout.report / "results.parquet"))
    with workspace.artifact() as draft:
        draft.record(**origin)
        for model in graph.runnable:
            (draft.folder / f"{model}.md").write_text(cards.card(model), encoding="utf-8")
        # The artifact is whole only if each model has its card, so that an edited card is named again.
        if kept := [
            model for model in graph.runnable if not _put(graph, model, draft.folder, workspace.state)
        ]:
            which = f"{graph.layout.card(kept[0])}{f' and {len(kept) - 1} more' if kept[1:] else ''}"
            raise KdpipeError(
                f"{which}: expected a card as kdpipe wrote it, since the card would change now, found an "
                "edited card; kdpipe overwrites only its own files: move the file away, or delete it, and "
                "start again"
            )


def _put(graph: Graph, model: str, cards: Path, state: Path) -> bool:
    """Copy a card into the folder of its model, unless a file of the user's is there; tell whether it is."""
    folder = graph.layout.runnable(model)
    with locked(state / "locks" / state_name(folder, state)):
        return put_card(folder, state, (cards / f"{model}.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(run)
