"""A card of a model is nobody's input; kdpipe replaces its own cards, and no card that a user has written."""

import os
import shutil
from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.cards import put_card
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.ownership import check_folder, foreign_in, note_written, written_files
from kdpipe.artifacts.sums import verify
from kdpipe.errors import KdpipeError
from kdpipe.plan.layout import CARD, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "results")


@pytest.fixture
def model(layout: Layout) -> Path:
    return make(layout, layout.model("m"), weights="old")


def make(layout: Layout, folder: Path, **files: str) -> Path:
    with publish(folder, layout.state, {"settings": {}}, Clock()) as draft:
        for name, text in files.items():
            (draft.folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_card_is_ours_and_in_no_digest(layout: Layout, model: Path) -> None:
    before = verify(model)
    assert put_card(model, layout.state, "one")
    assert (model / CARD).read_text() == "one"
    assert verify(model) == before
    assert foreign_in(model, layout.state) == ""
    assert put_card(model, layout.state, "two")
    assert (model / CARD).read_text() == "two"
    assert len(written_files(model, layout.state)[CARD]) == 1
    assert not list((layout.state / "drafts").iterdir())


def test_the_same_card_is_not_written_again(layout: Layout, model: Path) -> None:
    put_card(model, layout.state, "one")
    os.utime(model / CARD, ns=(1, 1))
    assert put_card(model, layout.state, "one")
    assert (model / CARD).stat().st_mtime_ns == 1


def test_the_next_job_of_a_model_removes_its_card(layout: Layout, model: Path) -> None:
    put_card(model, layout.state, "one")
    make(layout, model, weights="new")
    assert sorted(path.name for path in model.iterdir()) == ["SHA256SUMS", "manifest.json", "weights"]
    assert put_card(model, layout.state, "one")


def test_an_edited_card_stays_and_counts_until_the_card_would_change(layout: Layout, model: Path) -> None:
    put_card(model, layout.state, "one")
    (model / CARD).write_text("mine")
    assert put_card(model, layout.state, "one")
    assert not put_card(model, layout.state, "two")
    assert (model / CARD).read_text() == "mine"
    verify(model)
    assert foreign_in(model, layout.state) == f"{CARD} in it was changed since"
    with pytest.raises(KdpipeError, match=f"m/{CARD} is not what kdpipe wrote there"):
        make(layout, model, weights="new")
    (model / CARD).unlink()
    assert put_card(model, layout.state, "two")


@pytest.mark.parametrize("place", ["file", "link", "folder"])
def test_what_the_user_has_put_in_its_place_stays(
    layout: Layout, model: Path, tmp_path: Path, place: str
) -> None:
    if place == "file":
        (model / CARD).write_text("mine")
    elif place == "link":
        (model / CARD).symlink_to(tmp_path / "nowhere")
    else:
        (model / CARD).mkdir()
    assert not put_card(model, layout.state, "one")
    assert os.path.lexists(model / CARD)
    assert not (model / CARD).is_file() or (model / CARD).read_text() == "mine"


def test_a_process_that_is_killed_leaves_a_card_that_is_ours(layout: Layout, model: Path) -> None:
    """The list has both cards while one replaces the other."""
    put_card(model, layout.state, "one")
    written = written_files(model, layout.state)
    put_card(model, layout.state, "two")
    both = [*written[CARD], *written_files(model, layout.state)[CARD]]
    for text in ("one", "two"):
        (model / CARD).write_text(text)
        note_written(model, layout.state, {**written, CARD: both})
        check_folder(model, layout.state)
        assert put_card(model, layout.state, "two")
        assert (model / CARD).read_text() == "two"


def test_without_their_list_cards_are_known_by_the_cards_of_all_models(layout: Layout, model: Path) -> None:
    put_card(model, layout.state, "one")
    make(layout, layout.cards, **{"m.md": "one"})
    shutil.rmtree(layout.state)
    check_folder(model, layout.state)
    assert put_card(model, layout.state, "two")
    assert (model / CARD).read_text() == "two"
    shutil.rmtree(layout.state)
    with pytest.raises(KdpipeError, match=f"m/{CARD} is not what kdpipe wrote there"):
        check_folder(model, layout.state)
