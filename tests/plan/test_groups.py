"""Short jobs share the job of the training that they are for, and never one that waits for itself.

A group is a chain: Snakemake adds up the processors of the jobs of a group that could run at once.
"""

from kdpipe.plan.stage import definition

FINETUNE = {"finetune": {"model": "small", "dataset": "task"}}


def group_of(graph, model, *dataset):
    stage = "evaluate" if dataset else graph.nodes[model].stage
    return definition(stage).group(graph, model, *dataset)


def test_what_a_training_starts_from_and_its_own_scores_are_in_its_job(graph_of):
    graph = graph_of()
    assert group_of(graph, "student") == "train-student"
    assert group_of(graph, "small") == "train-student"
    assert group_of(graph, "student", "task") == "train-student"


def test_scores_on_other_datasets_and_of_models_that_are_not_trained_are_jobs_of_their_own(graph_of):
    graph = graph_of({"models.small.extract.evaluate": ["text"]})
    assert group_of(graph, "student", "text") is None
    assert group_of(graph, "small", "text") is None
    assert group_of(graph, "base", "text") is None


def test_what_several_start_from_is_made_once_in_a_job_of_its_own(graph_of):
    graph = graph_of({"models.other": FINETUNE})
    assert group_of(graph, "small") is None


def test_a_teacher_is_cached_between_its_making_and_the_training(graph_of):
    half = {"prune": {"model": "teacher", "sparsity": 0.5}}
    graph = graph_of({"models.half": half, "models.student.distill.teacher": "half"})
    assert group_of(graph, "half") is None


def test_a_model_that_is_scored_for_another_is_no_part_of_its_training(graph_of):
    half = {"prune": {"model": "teacher", "sparsity": 0.5}}
    assistant = {"schedule": {"teacher": "teacher", "dataset": "task", "target": 0.9, "importance": {}}}
    graph = graph_of(
        {"models.half": half, "models.assistant": assistant, "models.assistant.schedule.teacher": "half"}
    )
    assert group_of(graph, "half") is None
