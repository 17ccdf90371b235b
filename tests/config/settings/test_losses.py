import pytest
from pydantic import TypeAdapter, ValidationError

from kdpipe import catalog
from kdpipe.config.mistakes import explain
from kdpipe.config.settings.losses import LossTerms
from kdpipe.config.settings.presets import PRESETS
from kdpipe.errors import KdpipeError

TERMS = TypeAdapter(LossTerms)

AT_LEAST_ONE = "should be greater than or equal to 1, found 0"
AT_LEAST_NONE = "should be greater than or equal to 0, found -1"
LINEAR = "'linar' is not known; did you mean 'linear'?"


def term(**settings):
    return TERMS.validate_python([settings])[0]


def mistakes_in(*terms):
    with pytest.raises(ValidationError) as error:
        TERMS.validate_python(list(terms))
    return explain(error.value)


def fade(**weight):
    return {"loss": "kl", "weight": weight}


def soft(**temperature):
    return {"loss": "kl", "temperature": temperature}


def test_defaults_and_options():
    kl = term(loss="kl", temperature="2e0", weight=5)
    assert (kl.weight, kl.student_kinds, kl.teacher_kinds) == (5, ("logits",), ("logits",))
    assert kl.options == {"temperature": 2.0, "t_squared": True}
    hidden = term(loss="hidden_mse", projection={"kind": "relu"})
    assert (hidden.layers, hidden.projection.kind, hidden.matched) == ("last", "relu", "last")
    relation = term(loss="relation", relation_heads=4)
    assert (relation.options, relation.layers) == ({"relation_heads": 4}, "last")
    assert not term(loss="hard").needs_teacher
    assert (term(loss="emd").matched, term(loss="emd").pairs(3, 2)) == ("all", (((1, 2, 3), (1, 2)),))


def test_only_the_largest_logits_of_a_teacher_may_be_read():
    few = term(loss="kl", top_k=50)
    assert (few.teacher_kinds, few.student_kinds) == (("top_logits", "top_entries"), ("logits",))
    assert few.pairs(None, None) == ((50, None),)


@pytest.mark.parametrize(("preset", "loss", "layers", "depths", "pairs"), [
    ("L3_hidden_mse", "hidden_mse", "spaced", (12, 3), [(0, 0), (4, 1), (8, 2), (12, 3)]),
    ("L3n_hidden_mse", "hidden_mse", "spaced", (6, 3), [(0, 0), (2, 1), (4, 2), (6, 3)]),
    ("L4_hidden_smmd", "mmd", "spaced", (12, 4), [(0, 0), (3, 1), (6, 2), (9, 3), (12, 4)]),
    ("L6_hidden_smmd", "mmd", "spaced", (12, 6), [(2 * i, i) for i in range(7)]),
    ("small_hidden_mse", "hidden_mse", "every:2", (12, 12), [(i, i) for i in range(0, 13, 2)]),
    ("L4_attention_ce_mean", "attention_ce", "spaced", (12, 4), [(3, 1), (6, 2), (9, 3), (12, 4)]),
    ("t_top8_hidden_mse", "hidden_mse", "top:8", (12, 6), list(enumerate([0, 1, 3, 4, 5, 7, 8]))),
])  # fmt: skip
def test_a_preset_is_a_sum_over_its_pairs(preset, loss, layers, depths, pairs):
    expanded = term(preset=preset, weight=2)
    assert (expanded.loss, expanded.layers, expanded.over_pairs, expanded.weight) == (loss, layers, "sum", 2)
    expected = [(t, i) for i, t in pairs] if preset.startswith("t_top") else pairs
    assert list(expanded.pairs(*depths)) == expected


def test_presets_have_the_projections_and_heads_of_textbrewer():
    assert [name for name in PRESETS if getattr(term(preset=name), "projection", None)] == [
        "L3n_hidden_mse", "L4t_hidden_mse", "L4t_hidden_sgram", "small_hidden_mse"
    ]  # fmt: skip
    assert {name: term(preset=name).heads for name in PRESETS if "attention" in name} == {
        f"L{depth}_attention_{kind}": heads
        for depth in (3, 4)
        for kind, heads in (("mse", "each"), ("mse_sum", "sum"), ("ce", "each"), ("ce_mean", "mean"))
    }
    assert term(preset="t_top8_hidden_mse", projection={"shared": True}).projection.shared


@pytest.mark.parametrize("loss", ["jsd", "kl", "soft_cross_entropy", "logit_mse"])
@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan")])
def test_a_temperature_that_the_loss_refuses_is_refused_before(loss, temperature):
    ((where, _),) = mistakes_in({"loss": loss, "temperature": temperature})
    assert where == (0, "temperature")
    with pytest.raises(KdpipeError):
        catalog.resolve("losses", loss)(temperature=temperature)


@pytest.mark.parametrize(("settings", "where", "what"), [
    ({"loss": "kll"}, (0, "loss"), "'kll' is not known; did you mean 'kl'?"),
    ({"weight": 1}, (0, "loss"), f"is required; there is {', '.join(sorted(catalog.LOSSES))}"),
    ("kl", (0,), "expected a mapping with the key `loss`, found 'kl'"),
    ({"loss": "kl", "temprature": 2}, (0, "temprature"), "unknown key; did you mean 'temperature'?"),
    ({"loss": "hard", "wieght": 2}, (0, "wieght"), "unknown key; did you mean 'weight'?"),
    ({"loss": "kl", "weight": -1}, (0, "weight"), "should be greater than or equal to 0, found -1"),
    ({"loss": "kl", "positions": "mask"}, (0, "positions"), "'mask' is not known; did you mean 'masked'?"),
    ({"loss": "kl", "run": "bse"}, (0, "run"), "'bse' is not known; did you mean 'base'?"),
    ({"loss": "cosine", "projection": {"kind": "linar"}}, (0, "projection", "kind"), LINEAR),
    ({"loss": "cosine", "layers": [[1]]}, (0, "layers", 0, 1), "is required"),
    ({"loss": "relation", "relation_heads": 0}, (0, "relation_heads"), AT_LEAST_ONE),
    ({"loss": "jsd", "beta": 1}, (0, "beta"), "should be less than 1, found 1"),
    (fade(schedule="liner"), (0, "weight", "schedule"), "'liner' is not known; did you mean 'linear'?"),
    (fade(schedule="linear", end=-1), (0, "weight", "end"), AT_LEAST_NONE),
    (fade(schedule="linear_decay", end=1), (0, "weight", "end"), "'linear_decay' has no `end`; remove this"),
    (fade(schedule="linear", at=[0.5]), (0, "weight", "at"), "only `steps` has 'at'; remove this"),
    (fade(schedule="cosine", compat="textbrewer"), (0, "weight", "compat"),
     "TextBrewer has no 'cosine'; remove this"),
    (fade(schedule="steps"), (0, "weight", "at"), "is required: the shares of the training at which the"
     " weight changes"),
    (fade(schedule="steps", at=[0.8, 0.5], factors=[1, 2]), (0, "weight", "at"), "expected rising shares"
     " between 0 and 1, found 0.8, 0.5"),
    (fade(schedule="steps", at=[0.5], factors=[1, 2]), (0, "weight", "factors"),
     "expected one for each of the 1 shares of `at`, found 2"),
    (fade(schedule="linear", value=0), (0, "weight", "value"), "the weight would be 0 at every step"),
    ({"loss": "kl", "weight": "heavy"}, (0, "weight"), "should be a valid number, found 'heavy'"),
    (soft(schedule="flsv"), (0, "temperature", "schedule"), "'flsv' is not known; did you mean 'flsw'?"),
    (soft(schedule="cwsm", gamma=2), (0, "temperature", "gamma"), "only `flsw` has 'gamma'; remove this"),
    (soft(schedule="flsw", beta=-1), (0, "temperature", "beta"), AT_LEAST_NONE),
    (soft(value=2), (0, "temperature", "schedule"), "is required"),
    ({"loss": "kl", "top_k": 0}, (0, "top_k"), AT_LEAST_ONE),
    ({"preset": "L3_hiden_mse"}, (0, "preset"), "'L3_hiden_mse' is not known; did you mean 'L3_hidden_mse'?"),
    ({"preset": "L3_hidden_mse", "layers": "last"}, (0, "layers"),
     "the preset says it; remove this, or give the term without `preset`"),
    ({"preset": "L3_hidden_mse", "temperature": 2}, (0, "temperature"), "unknown key; there is dataset,"
     " layers, loss, modules, normalize, over_pairs, positions, projection, run, teacher, weight"),
])  # fmt: skip
def test_mistakes(settings, where, what):
    assert mistakes_in(settings) == [(where, what)]


def test_hidden_states_are_compared_by_layers_or_by_modules():
    named = term(loss="mmd", modules=[["encoder", "layers.0"]])
    assert named.pairs(None, None) == (("encoder", "layers.0"),)
    assert TERMS.validate_json(TERMS.dump_json((named,))) == (named,)
    assert term(loss="mmd", layers=[[1, 2]]).pairs(None, None) == ((1, 2),)
    both = {"loss": "mmd", "modules": [["a", "b"]], "layers": "spaced"}
    assert mistakes_in(both) == [((0, "layers"), "`modules` says what is compared; remove one of them")]
    assert mistakes_in({"loss": "mmd", "modules": []}) == [((0, "modules"), "expected at least one")]


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "kl", "modules": [["a", "b"]]},
        {"loss": "relation", "modules": [["a", "b"]]},
        {"loss": "hard", "temperature": 2},
        {"loss": "kl", "layers": "last"},
        {"loss": "kl", "projection": {}},
        {"loss": "attention_mse", "projection": {}},
        {"loss": "hidden_mse", "relation_heads": 2},
    ],
)
def test_a_loss_takes_its_own_options_only(settings):
    ((where, what),) = mistakes_in(settings)
    assert where == (0, [*settings][1])
    assert what.startswith("unknown key; ")


def test_every_term_is_looked_at_and_there_is_one():
    assert [where for where, _ in mistakes_in({"loss": "a"}, {"loss": "kl"}, {"loss": "b"})] == [
        (0, "loss"),
        (2, "loss"),
    ]
    assert mistakes_in() == [((), "expected at least one")]


@pytest.mark.parametrize("shape", [
    {"schedule": "linear", "end": 2}, {"schedule": "cosine"}, {"schedule": "linear_growth"},
    {"schedule": "linear_decay", "compat": "textbrewer"}, {"schedule": "steps", "at": [0.5], "factors": [2]},
])  # fmt: skip
def test_settings_survive_json(shape):
    weight = {"value": "2e0", **shape}
    temperature = {"value": 8, "schedule": "flsw", "gamma": 2}
    terms = TERMS.validate_python([
        {"loss": "kl", "temperature": temperature, "weight": weight, "top_k": 3},
        {"loss": "cosine", "layers": [[1, 2]]},
        {"loss": "gram", "layers": [[[0, 1], [0, 2]], [3, 1]]},
        {"preset": "L4t_hidden_sgram"},
        {"loss": "emd"},
    ])  # fmt: skip
    assert TERMS.validate_json(TERMS.dump_json(terms)) == terms


@pytest.mark.parametrize(("name", "kinds", "what"), [
    ("Misspelled", ("hiden_states",), "the kind 'hiden_states', which is not known; did you mean 'hidden_"),
    ("Blind", (), "declares no `student_kinds`"),
    ("Mixed", ("logits", "hidden_states"), "logits and hidden_states; a loss reads logits, or signals of"),
    ("Named", ("module",), "the kind 'module'; declare `hidden_states`; `modules` of a term then"),
])  # fmt: skip
def test_the_kinds_that_a_loss_of_ones_own_declares_are_looked_at(tmp_path, monkeypatch, name, kinds, what):
    package = tmp_path / "faulty_losses"
    package.mkdir()
    loss = f"from kdpipe.losses.loss import Loss\n\nclass {name}(Loss):\n    student_kinds = {kinds}\n"
    (package / f"{name}.py").write_text(loss)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(catalog.LOSSES, "mine", f"faulty_losses.{name}:{name}")
    ((where, told),) = mistakes_in({"loss": "mine"})
    assert where == (0, "loss")
    assert what in told
