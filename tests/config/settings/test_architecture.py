from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from kdpipe import catalog
from kdpipe.config.mistakes import explain
from kdpipe.config.settings.architecture import ACTIVATION_CLASSES, REFUSED, Architecture
from kdpipe.config.signatures import field_options
from kdpipe.declarations import constants, mapping_keys

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
    assert what == "is set by kdpipe, from the tokenizer"


NOT_KNOWN = "'nope' is not known; there is gelu, "
RANGE = "greater than or equal to"
HOSTILE = [
    ({"family": "bert", "hidden_act": "nope"}, "hidden_act", NOT_KNOWN),
    ({"family": "bert", "hidden_act": "geluu"}, "hidden_act", "did you mean 'gelu'?"),
    ({"family": "distilbert", "activation": "nope"}, "activation", NOT_KNOWN),
    ({"family": "gpt2", "activation_function": "nope"}, "activation_function", NOT_KNOWN),
    ({"family": "t5", "feed_forward_proj": "gated-gelu"}, "feed_forward_proj", "'gated-gelu' is not known"),
    ({"family": "bert", "hidden_dropout_prob": -1}, "hidden_dropout_prob", f"{RANGE} 0, found -1"),
    (
        {"family": "bert", "attention_probs_dropout_prob": 2},
        "attention_probs_dropout_prob",
        "less than 1, found 2",
    ),
    ({"family": "gpt2", "attn_pdrop": 2}, "attn_pdrop", "less than 1, found 2"),
    ({"family": "t5", "dropout_rate": 1}, "dropout_rate", "less than 1, found 1"),
    ({"family": "bert", "classifier_dropout": 2}, "classifier_dropout", "less than 1, found 2"),
    ({"family": "distilbert", "dropout": True}, "dropout", "found True"),
    ({"family": "bert", "initializer_range": -1}, "initializer_range", f"{RANGE} 0, found -1"),
    ({"family": "bert", "initializer_range": 1e300}, "initializer_range", "less than or equal to 1000"),
    ({"family": "t5", "initializer_factor": -1}, "initializer_factor", f"{RANGE} 0, found -1"),
    ({"family": "roberta", "layer_norm_eps": -1}, "layer_norm_eps", "greater than 0, found -1"),
    ({"family": "electra", "type_vocab_size": 0}, "type_vocab_size", f"{RANGE} 1, found 0"),
    ({"family": "bert", "pad_token_id": 10**6}, "pad_token_id", "is set by kdpipe, from the tokenizer"),
    ({"family": "bert", "num_hidden_layers": -1}, "num_hidden_layers", f"{RANGE} 1, found -1"),
    ({"family": "gpt2", "n_layer": 10**9}, "n_layer", "less than or equal to 1024"),
    ({"family": "bigru", "hidden_size": 0}, "hidden_size", f"{RANGE} 1, found 0"),
    ({"family": "bert", "hidden_size": 10**30}, "hidden_size", "less than or equal to 1048576"),
    ({"family": "gpt2", "n_inner": 0}, "n_inner", f"{RANGE} 1, found 0"),
    ({"family": "t5", "d_kv": 0}, "d_kv", f"{RANGE} 1, found 0"),
    ({"family": "t5", "relative_attention_num_buckets": 1}, "relative_attention_num_buckets", f"{RANGE} 4"),
    (
        {"family": "t5", "relative_attention_max_distance": 16},
        "relative_attention_max_distance",
        "expected `relative_attention_max_distance` above half of `relative_attention_num_buckets`",
    ),
    ({"family": "bert", "is_decoder": True}, "is_decoder", "is not supported: it follows from the family"),
    ({"family": "gpt2", "summary_type": "x"}, "summary_type", "no head of kdpipe reads it"),
]


@pytest.mark.parametrize(("value", "name", "what"), HOSTILE)
def test_what_no_model_can_have_is_refused(value, name, what):
    ((where, told),) = mistakes_in(value)
    assert where == (name,)
    assert what in told


@pytest.mark.parametrize("sizes", [
    {"hidden_size": 2**20},
    {"num_hidden_layers": 1024, "hidden_size": 1200},
    {"max_position_embeddings": 2**20, "hidden_size": 2400},
    {"intermediate_size": 2**20, "hidden_size": 1200},
])  # fmt: skip
def test_a_model_that_no_memory_holds_is_refused(sizes):
    ((where, what),) = mistakes_in({"family": "bert", **sizes})
    assert where == ()
    assert what.endswith(" weights, expected at most 2,000,000,000; lower its sizes")


def test_the_heads_of_t5_count_by_their_own_width():
    ((_, what),) = mistakes_in({"family": "t5", "num_heads": 1024, "d_kv": 1024})
    assert "about 12,897,484,800 weights" in what


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_the_defaults_of_a_family_and_usual_shapes_are_accepted(family):
    names = constants(catalog.FAMILIES[family])["shape_fields"]
    for architecture in ({}, {names["width"]: 1536}, {names["depth"]: 48}):
        ARCHITECTURE.validate_python({"family": family, **architecture})


@pytest.mark.parametrize("family", catalog.FAMILIES)
def test_every_number_of_an_architecture_has_a_range(family):
    target = constants(catalog.FAMILIES[family])["config_class"]
    for name, option in field_options(target).items():
        if {int, float} & {option.type, *get_args(option.type)} and name not in REFUSED:
            ((where, _),) = mistakes_in({"family": family, name: -1})
            assert where == (name,)


def test_activations_are_those_of_transformers():
    from transformers.activations import ACT2CLS

    assert mapping_keys(ACTIVATION_CLASSES) == tuple(ACT2CLS)


def test_an_encoder_of_t5_takes_the_fields_of_t5_and_its_own():
    t5 = ARCHITECTURE.validate_python({"family": "t5", "d_model": 64, "n_positions": 100})
    assert t5.options == {"d_model": 64, "n_positions": 100}
    ((where, _),) = mistakes_in({"family": "t5", "num_labels": 3})
    assert where == ("num_labels",)
