"""The memory and time that jobs ask for follow from their settings."""

from collections import Counter
from pathlib import Path

import pytest
from transformers import BertConfig, BertModel

from kdpipe.anatomy.signals import STORED_BYTES, STORED_ROWS
from kdpipe.config.document import read_config
from kdpipe.evaluation.task import BATCH_SIZE
from kdpipe.plan.build import build_graph
from kdpipe.plan.jobs import job_of, model_job
from kdpipe.plan.resources import MINUTES, memory_mb, minutes
from kdpipe.plan.running import HELD_OUT_SHARE, SCORED_BATCH
from kdpipe.plan.sizes import USUAL_ROWS, parameters
from kdpipe.plan.stage import DAY, Job, definition

BATCH = "models.teacher.finetune.training.per_device_train_batch_size"
STEPS = "models.teacher.finetune.training.max_steps"
EPOCHS = "models.teacher.finetune.training.num_train_epochs"
ROOT = Path(__file__).parents[2]
# A teacher of the size of BERT-base.
HUB = {"models.hub": {"load": {"path": "someone/something"}}, "models.teacher.finetune.model": "hub"}
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
    assert minutes(*teacher({EPOCHS: 10**6})) == definition("finetune").longest
    slow = minutes(*teacher({EPOCHS: 2000}))
    assert minutes(*teacher({EPOCHS: 2000, "gpus": 1})) < slow


@pytest.mark.parametrize("attempt", [1, 4])
@pytest.mark.parametrize("name", ["minidisc", "rosita"])
def test_a_group_of_a_paper_scale_config_fits_within_a_day_at_each_attempt(name, attempt):
    graph = build_graph(read_config([ROOT / f"config/{name}.yaml"]))
    jobs = [model_job(graph, model) for model in graph.nodes]
    jobs += [job_of(graph, "evaluate", *pair) for pair in graph.evaluations]
    groups: Counter[str | None] = Counter()
    for job in jobs:
        groups[definition(job.stage).group(graph, *job.names)] += minutes(graph, job, attempt)
    del groups[None]
    assert definition("distill").longest < max(groups.values()) <= DAY


def test_a_job_that_is_tried_again_asks_for_more_as_far_as_there_are_machines(graph_of):
    graph = graph_of()
    job = model_job(graph, "small")
    assert [minutes(graph, job, attempt) for attempt in (1, 2, 4)] == [MINUTES, 2 * MINUTES, 4 * MINUTES]
    once = memory_mb(graph, job)
    assert [memory_mb(graph, job, attempt) for attempt in (2, 3, 4)] == [2 * once, 3 * once, 3 * once]


def test_scoring_reads_the_rows_held_out_once_and_only_forward(graph_of):
    graph = graph_of({**HUB, EPOCHS: 1})
    trained = minutes(graph, model_job(graph, "teacher")) - MINUTES
    scored = minutes(graph, job_of(graph, "evaluate", "teacher", "task")) - MINUTES
    assert scored == pytest.approx(trained * HELD_OUT_SHARE / 3, abs=1)
    assert 60 < scored < definition("evaluate").longest - MINUTES


def test_several_gpus_are_of_use_to_trainings_alone_whose_processes_take_memory_each(graph_of):
    def asked(gpus, stage, *names):
        graph = graph_of({EPOCHS: 10**4, "gpus": gpus})
        job = job_of(graph, stage, *names)
        return memory_mb(graph, job), minutes(graph, job)

    one, two = asked(1, "finetune", "teacher"), asked(2, "finetune", "teacher")
    assert two[0] - one[0] > 1200
    assert two[1] < one[1]
    scored = next(iter(graph_of().evaluations))
    assert asked(1, "evaluate", *scored) == asked(2, "evaluate", *scored)


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
        *(job_of(graph, "evaluate", *pair) for pair in graph.evaluations),
        job_of(graph, "preprocess", "task", "base"),
        job_of(graph, "cache_teacher", *key),
        job_of(graph, "report"),
        job_of(graph, "card", "cards"),
    ]
    for job in jobs:
        assert isinstance(job, Job)
        assert memory_mb(graph, job) >= 1500
        assert MINUTES <= minutes(graph, job) <= DAY


def test_fractions_of_an_epoch_and_a_number_of_steps_count(graph_of):
    def trained(settings):
        graph = graph_of({**HUB, **settings})
        return minutes(graph, model_job(graph, "teacher")) - MINUTES

    whole = trained({EPOCHS: 1})
    assert trained({EPOCHS: 0.5}) == pytest.approx(whole / 2, abs=1)
    assert trained({STEPS: 100_000 // 8 // 5}) == pytest.approx(whole / 5, abs=1)


def test_a_fetched_dataset_takes_as_long_as_it_was_thought_to_before(graph_of, tmp_path):
    hub = {"source": "table", "task": "classification", "text": "text", "label": "label", "hub": "a/b"}

    def asked():
        graph = graph_of({**HUB, "datasets.task": hub, "data_dir": str(tmp_path), EPOCHS: 1})
        job = model_job(graph, "teacher")
        return [source.path for source in graph.datasets["task"].sources], minutes(graph, job)

    (folder,), before = asked()
    folder.mkdir(parents=True)
    (folder / "SHA256SUMS").write_text("0" * 64 + "  train-00000.parquet\n")
    assert asked()[1] == before > MINUTES


def test_encoding_and_counting_take_longer_the_more_there_is_to_read(graph_of, tmp_path):
    text = tmp_path / "text.txt"

    def asked(size):
        with text.open("wb") as stream:
            stream.truncate(size)
        graph = graph_of(
            {"datasets.text": {"source": "text", "task": "language_modeling", "path": str(text)}}
        )
        jobs = (("preprocess", "text", "base"), ("count_tokens", "text", "base"), ("pretrain", "base"))
        return [minutes(graph, job_of(graph, *job)) for job in jobs]

    small, large = asked(10**6), asked(10**9)
    assert max(small) < 2 * MINUTES
    assert all(less + 60 < more for less, more in zip(small, large, strict=True))
    assert large[0] + large[1] <= DAY


def test_a_submission_takes_as_long_as_an_evaluation(graph_of):
    graph = graph_of({**HUB, "models.teacher.finetune.submit": ["task"]})
    pair = ("teacher", "task")
    assert (
        minutes(graph, job_of(graph, "submit", *pair))
        == minutes(graph, job_of(graph, "evaluate", *pair))
        > 60
    )


def test_a_teacher_that_runs_beside_its_student_takes_time(graph_of):
    def student(cache):
        graph = graph_of({**HUB, EPOCHS: 1, "models.student.distill.cache": cache})
        return minutes(graph, model_job(graph, "student"))

    assert student("off") > student("on") + 60


def test_memory_holds_a_little_of_all_rows_of_a_dataset(graph_of):
    def asked(rows):
        graph = graph_of({"datasets.task.rows": rows})
        jobs = (model_job(graph, "teacher"), job_of(graph, "evaluate", "teacher", "task"))
        return [memory_mb(graph, job) for job in jobs]

    bytes_a_row = 20
    for few, many in zip(asked(1000), asked(1_001_000), strict=True):
        assert many - few == pytest.approx(bytes_a_row, abs=1)


def test_scoring_takes_the_batches_that_it_is_estimated_by():
    assert SCORED_BATCH == BATCH_SIZE


def test_scoring_keeps_the_activations_of_one_block_and_importance_those_of_all(graph_of):
    def scored(depth):
        graph = graph_of({"models.base.pretrain.architecture.num_hidden_layers": depth})
        return memory_mb(graph, job_of(graph, "evaluate", "teacher", "task"))

    def ranked(settings):
        cut = {"prune": {"model": "teacher", "sparsity": 0.5, "importance": settings}}
        graph = graph_of({**HUB, "models.cut": cut})
        (wanted,) = graph.importances
        return memory_mb(graph, job_of(graph, "score_importance", *wanted))

    assert scored(40) - scored(4) < 50
    assert ranked({"batch_size": 64}) - ranked({"batch_size": 32}) > 1000


def test_a_cache_keeps_the_states_of_a_record_batch(graph_of):
    def cached(precision, layers):
        losses = [{"loss": "hidden_mse", "layers": layers}]
        student = {"cache_precision": precision, "losses": losses}
        graph = graph_of({**HUB, **{f"models.student.distill.{name}": it for name, it in student.items()}})
        (key,) = graph.caches
        return memory_mb(graph, job_of(graph, "cache_teacher", *key))

    one = STORED_ROWS * 128 * 768 * 2
    assert cached("float32", [[0, 0]]) - cached("float16", [[0, 0]]) == pytest.approx(one / 1e6, abs=1)
    # As long as the depth is not known, all states of a BERT-base, which fill a record batch.
    more = (2 * STORED_BYTES - one) / 1e6
    assert cached("float16", "spaced") - cached("float16", [[0, 0]]) == pytest.approx(more, abs=1)


def test_a_corpus_of_billions_of_tokens_fits():
    """Wikipedia and BookCorpus have 80 million texts; each takes 20 bytes, and 8 with a source."""
    config = read_config([ROOT / "config/diito.yaml"])
    books = read_config([ROOT / "config/diito.yaml", ROOT / "config/diito-books.yaml"])
    for name, bytes_of_a_row in (("standard-6-42", 20), ("full-6-42", 28)):
        asked = [
            memory_mb(graph, job_of(graph, "distill", name)) for graph in map(build_graph, (config, books))
        ]
        texts = 6_400_000 + 74_000_000 - USUAL_ROWS
        assert asked[1] - asked[0] == pytest.approx(texts * bytes_of_a_row / 1e6, abs=2)
        assert asked[1] < 40_000
