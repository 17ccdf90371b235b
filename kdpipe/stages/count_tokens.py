"""Count how often each token occurs in the training split of a dataset."""

from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer

from kdpipe.data.encoded import count_tokens, split_file
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(settings: CountTokensSettings, workspace: Workspace, *, data: Path, tokenizer: Path) -> None:
    """Write the count of every id of the vocabulary."""
    vocab_size = Tokenizer.from_file(str(tokenizer / "tokenizer.json")).get_vocab_size()
    counts = count_tokens(split_file(data, settings.split), vocab_size)
    with workspace.artifact() as draft:
        pq.write_table(counts, draft.folder / "counts.parquet")


if __name__ == "__main__":
    main(run)
