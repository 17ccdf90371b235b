"""Token counts of an encoded dataset."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kdpipe.data.encoded import read_description
from kdpipe.models.loading import load_tokenizer
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.count_tokens import run


@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_id_of_the_vocabulary_has_its_count(
    text_data: Path, language_model: Path, workspace: Workspace, split: str
) -> None:
    run(CountTokensSettings(split=split), workspace, data=text_data, tokenizer=language_model)
    counts = pq.read_table(workspace.output / "counts.parquet")
    tokenizer = load_tokenizer(language_model)
    facts = read_description(text_data)["splits"][split]
    assert counts["token_id"].to_pylist() == list(range(len(tokenizer)))
    assert sum(counts["count"].to_pylist()) == facts["tokens"]
    assert counts["count"][tokenizer.cls_token_id].as_py() == facts["rows"]
