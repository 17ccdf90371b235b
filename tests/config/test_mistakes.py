import pytest
from pydantic import ValidationError

from kdpipe.config.mistakes import Mistakes, key_path, problems_of
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.errors import ConfigError


@pytest.mark.parametrize(("where", "path"), [
    ((), ""),
    (("seed",), "seed"),
    (("models", "a-{task}", "distill", "losses", 0, "weight"), "models.a-{task}.distill.losses[0].weight"),
])  # fmt: skip
def test_key_paths(where, path):
    assert key_path(where) == path


def test_a_mistake_that_entries_share_is_told_for_the_first():
    mistakes = Mistakes()
    for entry in ("a-1", "a-2"):
        mistakes.add(("models", "a-{seed}"), f"one thing about {entry}", entry)
        mistakes.add(("models", "a-{seed}"), f"another about {entry}", entry)
    mistakes.add(("models", "b"), "a third", "b")
    assert [problem.what for problem in mistakes.problems] == [
        "one thing about a-1",
        "another about a-1",
        "a third",
    ]


def test_only_mistakes_stop():
    mistakes = Mistakes()
    mistakes.stop()
    mistakes.add(("seed",), "wrong")
    with pytest.raises(ConfigError, match="seed: wrong"):
        mistakes.stop()


def test_problems_of_a_validation():
    with pytest.raises(ValidationError) as error:
        MaskingSettings.model_validate({"probability": 2, "smooth": 1})
    assert [str(problem) for problem in problems_of(error.value)] == [
        "probability: should be less than 1, found 2",
        "smooth: unknown key; did you mean 'smoothing'?",
    ]
