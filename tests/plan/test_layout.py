from pathlib import Path

from kdpipe.plan.layout import Layout


def test_folders_are_those_of_the_design():
    layout = Layout(Path("r"))
    assert {
        "model": layout.model("m"),
        "data": layout.data("d", "t"),
        "counts": layout.counts("d", "t"),
        "knowledge": layout.knowledge("m", "d", "k"),
        "evaluation": layout.evaluation("m", "d"),
        "measurement": layout.measurement("m"),
        "card": layout.card("m"),
        "cards": layout.cards,
        "report": layout.report,
        "state": layout.state,
    } == {
        "model": Path("r/models/m"),
        "data": Path("r/data/d/t"),
        "counts": Path("r/counts/d/t"),
        "knowledge": Path("r/knowledge/m/d/k"),
        "evaluation": Path("r/evaluations/m/d"),
        "measurement": Path("r/measurements/m"),
        "card": Path("r/models/m/README.md"),
        "cards": Path("r/cards"),
        "report": Path("r/report"),
        "state": Path("r/.state"),
    }
