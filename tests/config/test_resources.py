"""What jobs ask a cluster for follows from their settings."""

import pytest
from transformers import BertConfig, BertModel

from kdpipe.config.jobs import JOBS, Job, data_job, evaluation_job, knowledge_job, model_job
from kdpipe.config.resources import DAY, MINUTES, memory_mb, minutes, parameters

BATCH = "models.teacher.finetune.training.per_device_train_batch_size"
EPOCHS = "models.teacher.finetune.training.num_train_epochs"
SMALL = {"width": 32, "depth": 3, "heads": 4, "neurons": 64, "vocabulary": 1000}


def test_parameters_are_about_those_of_the_model():
    config = BertConfig(
        vocab_size=1000,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
    )
    model = BertModel(config, add_pooling_layer=False)
    assert parameters(SMALL) == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.05)


def test_more_is_asked_for_larger_batches_and_longer_trainings(graph_of):
    def teacher(settings):
        graph = graph_of(settings)
        return graph, model_job(graph, "teacher")

    assert memory_mb(*teacher({BATCH: 256})) > memory_mb(*teacher({BATCH: 8}))
    assert minutes(*teacher({EPOCHS: 2000})) > minutes(*teacher({EPOCHS: 3}))
    assert minutes(*teacher({EPOCHS: 10**9})) == DAY
    slow = minutes(*teacher({EPOCHS: 2000}))
    assert minutes(*teacher({EPOCHS: 2000, "gpus": 1})) < slow


def test_several_gpus_are_of_use_to_trainings_alone_whose_processes_take_memory_each(graph_of):
    def asked(gpus, makes, *names):
        graph = graph_of({EPOCHS: 10**4, "gpus": gpus})
        job = makes(graph, *names)
        return memory_mb(graph, job), minutes(graph, job)

    one, two = asked(1, model_job, "teacher"), asked(2, model_job, "teacher")
    assert two[0] - one[0] > 1200
    assert two[1] < one[1]
    scored = next(iter(graph_of().evaluations))
    assert asked(1, evaluation_job, *scored) == asked(2, evaluation_job, *scored)


def test_models_on_the_hub_are_taken_to_be_as_large_as_bert_base(graph_of):
    graph = graph_of({"models.hub": {"load": {"path": "someone/something"}}})
    job = model_job(graph, "hub")
    assert minutes(graph, job) == MINUTES
    assert memory_mb(graph, job) - memory_mb(graph, model_job(graph, "small")) == pytest.approx(430, abs=10)


def test_every_job_asks_for_something(graph_of):
    graph = graph_of()
    (key,) = graph.caches
    jobs = [
        *(model_job(graph, name) for name in graph.nodes),
        *(evaluation_job(graph, *pair) for pair in graph.evaluations),
        data_job(graph, "task", "base"),
        knowledge_job(graph, *key),
        JOBS["report"](graph),
    ]
    for job in jobs:
        assert isinstance(job, Job)
        assert memory_mb(graph, job) >= 1500
        assert MINUTES <= minutes(graph, job) <= DAY
