"""A user's folders, in which the draws take place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import save_model
from tests.fuzz.world import write_template
from tests.models.conftest import SHAPES


@pytest.fixture(scope="module")
def template(
    sst2: Path,
    text_files: Path,
    ner_files: Path,
    squad: Path,
    language_model: Path,
    wordpiece: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folders as they are at the start of each draw."""
    folder = tmp_path_factory.mktemp("start")
    data = {"glue": sst2, "text": text_files, "conll": ner_files, "squad": squad}
    models = {"bert": language_model}
    for family, longest in (("distilbert", "max_position_embeddings"), ("gpt2", "n_positions")):
        models[family] = folder / family
        options = {**special_tokens(wordpiece), **SHAPES[family], longest: 96}
        body = create_body(family, options, len(wordpiece), seed=3)
        save_model(body, wordpiece, models[family])
    return write_template(folder / "template", data, models)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The place of the folders; the environment names the folders for the home and for temporary files."""
    place = tmp_path_factory.mktemp("draws") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place / "home"))
        patch.setenv("TMPDIR", str(place / "tmp"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        # Stages are forked off a server, and the server imports the tests.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("KDPIPE_DATA", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME"):
            patch.delenv(name, raising=False)
        patch.chdir(tmp_path_factory.getbasetemp())
        yield place
