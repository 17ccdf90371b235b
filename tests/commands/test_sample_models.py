"""Made-up models load as those that they stand for."""

import logging

import pytest
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from kdpipe.anatomy.families import shape_of
from kdpipe.commands.sample_models import write_model
from kdpipe.commands.stand_ins import StandIn
from kdpipe.models.loading import Head, load_frozen, load_model
from kdpipe.models.precision import default_device


def make(folder, family, task="", labels=None, tokenizer="base"):
    write_model(StandIn("base", folder, shape_of(family, {}), tokenizer, task, labels, seed=1))
    return folder


@pytest.mark.parametrize("family", ["bert", "bigru", "distilbert", "electra", "gpt2", "roberta", "t5"])
def test_a_model_of_each_family_reads_with_its_tokenizer(tmp_path, family):
    folder = make(tmp_path / "model", family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    body = AutoModel.from_pretrained(folder)
    assert body.config.vocab_size == len(tokenizer)
    assert body.num_parameters() < 2_000_000
    assert isinstance(load_model(folder), type(body))


def test_its_head_has_the_labels_and_nothing_is_told_of_random_weights(tmp_path, capfd, caplog):
    folder = make(tmp_path / "model", "bert", "classification", ("bad", "good"))
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.id2label == {0: "bad", 1: "good"}
    load_frozen(folder, Head("classification", ("good", "bad")), default_device())
    assert logging.root.manager.disable == logging.NOTSET


def test_tokenizers_of_two_nodes_differ(tmp_path):
    vocabularies = [
        AutoTokenizer.from_pretrained(make(tmp_path / name, "bert", tokenizer=name)).get_vocab()
        for name in ("cased", "uncased")
    ]
    assert vocabularies[0] != vocabularies[1]
