import pytest
from pydantic import TypeAdapter, ValidationError

from kdpipe import catalog
from kdpipe.config.mistakes import explain
from kdpipe.config.settings.architecture import Architecture

ARCHITECTURE = TypeAdapter(Architecture)

INTEGER = "should be a valid integer, found 'big'"


def mistakes_in(value):
    with pytest.raises(ValidationError) as error:
        ARCHITECTURE.validate_python(value)
    return explain(error.value)


def test_only_what_is_given_is_passed_on():
    bert = ARCHITECTURE.validate_python({"family": "bert", "hidden_size": 128, "layer_norm_eps": "1e-6"})
    assert bert.options == {"hidden_size": 128, "layer_norm_eps": 1e-6}
    assert ARCHITECTURE.dump_python(bert) == {"family": "bert", "hidden_size": 128, "layer_norm_eps": 1e-6}


@pytest.mark.parametrize(("value", "where", "what"), [
    ({"hidden_size": 8}, ("family",), f"is required; there is {', '.join(sorted(catalog.FAMILIES))}"),
    ({"family": "brt"}, ("family",), "'brt' is not known; did you mean 'bert'?"),
    ("bert", (), "expected a mapping with the key `family`, found 'bert'"),
    ({"family": "distilbert", "hiden_dim": 3}, ("hiden_dim",), "unknown key; did you mean 'hidden_dim'?"),
    ({"family": "bert", "hidden_size": "big"}, ("hidden_size",), INTEGER),
])  # fmt: skip
def test_mistakes(value, where, what):
    assert mistakes_in(value) == [(where, what)]


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_the_vocabulary_is_that_of_the_tokenizer(family):
    ((where, what),) = mistakes_in({"family": family, "vocab_size": 100})
    assert where == ("vocab_size",)
    assert what.startswith("unknown key")


def test_an_encoder_of_t5_takes_the_fields_of_t5_and_its_own():
    t5 = ARCHITECTURE.validate_python({"family": "t5", "d_model": 64, "n_positions": 100})
    assert t5.options == {"d_model": 64, "n_positions": 100}
    ((where, _),) = mistakes_in({"family": "t5", "num_labels": 3})
    assert where == ("num_labels",)
