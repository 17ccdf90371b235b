"""Config files as YAML: what a file says is read, and a mistake is shown with its line."""

import json
import os

import pytest

from kdpipe.config.parsing import DEEPEST, MOST_BYTES, MOST_VALUES, parse
from kdpipe.errors import ConfigError


@pytest.fixture
def mistakes_in(write):
    """A function that returns the mistakes that stand in a text, each with its line."""

    def mistakes(text):
        path = write(text)
        with pytest.raises(ConfigError) as error:
            parse(path)
        return [str(problem).replace(f"{path}:", "") for problem in error.value.problems]

    return mistakes


def test_anchors_and_merge_keys_are_read(write):
    path = write("a: &x {b: 1, c: 2}\nd: &y {c: 4, e: 5}\nf: {c: 3, <<: *x}\ng: {<<: [*x, *y], e: 6}\n")
    read = parse(path)
    assert read["f"] == {"b": 1, "c": 3}
    assert read["g"] == {"b": 1, "c": 2, "e": 6}


def test_json_is_read_with_all_its_characters(write):
    config = {"report": {"title": "\N{FIRE} \\ud83d\\ude00 / \n"}, "models": {"a": [1, 2.5, True, None]}}
    assert parse(write(json.dumps(config, indent="\t"))) == config


def test_keys_that_stand_twice_are_refused_all_at_once(mistakes_in):
    assert sorted(mistakes_in("seed: 1\nmodels:\n  a: {}\n  b: {}\n  a: {c: 1}\nseed: 2\n")) == [
        "5: key 'a' stands twice; remove or rename one",
        "6: key 'seed' stands twice; remove or rename one",
    ]


def test_the_same_key_in_different_mappings_is_none_that_stands_twice(write):
    assert parse(write("a: {x: 1}\nb: {x: 1}")) == {"a": {"x": 1}, "b": {"x": 1}}


def test_an_unquoted_placeholder_as_key_gets_a_hint(mistakes_in):
    text = "datasets:\n  {task}: {source: glue}\n"
    assert mistakes_in(text) == ["2: expected a name as key; put one with braces in quotes"]


@pytest.mark.parametrize(("key", "kind"), [
    ("on", None), ("no", None), ("Yes", None), ("True", "a boolean"), ("~", "nothing"), ("null", "nothing"),
    ("1", "a number"), ("1e3", None), ("1.5", "a number"), ("0x_", "a number"), ("2024-02-30", "a date"),
    ("=", "a sign of its own"), ("!!binary aGk=", "not text"), ("y", None), ("'on'", None), ('"1"', None),
])  # fmt: skip
def test_a_key_is_what_is_written_or_refused(write, mistakes_in, key, kind):
    text = f"models:\n  {key}: 3\n"
    if kind is None:
        assert parse(write(text)) == {"models": {key.strip("'\""): 3}}
    else:
        written = key.split()[-1]
        assert mistakes_in(text) == [f"2: the key `{written}` is {kind} to YAML; put it in quotes"]


@pytest.mark.parametrize(("value", "mistake"), [
    ("2024-02-30", "`2024-02-30` is a date to YAML; put it in quotes"),
    ("2024-02-28", "`2024-02-28` is a date to YAML; put it in quotes"),
    ("2001-12-14t21:59:43.10-05:00", "`2001-12-14t21:59:43.10-05:00` is a date to YAML; put it in quotes"),
    ("!!timestamp 2024-02-28", "`2024-02-28` is a date to YAML; put it in quotes"),
    ("0x_", "`0x_` is a number to YAML that it cannot read; put it in quotes"),
    ("!!int one", "`one` is a number to YAML that it cannot read; put it in quotes"),
    ("!!bool maybe", "`maybe` is a boolean to YAML that it cannot read; put it in quotes"),
    ("9" * 5000, f"`{'9' * 64}` is a number to YAML that it cannot read; put it in quotes"),
    ("0x" + "f" * 5000, f"`0x{'f' * 62}` has more than 64 bits; give a smaller number"),
    ("-10000000000000000000", "`-10000000000000000000` has more than 64 bits; give a smaller number"),
    ("1:30", "`1:30` is the number 90 to YAML; write it so, or put it in quotes"),
    ("1:30.5", "`1:30.5` is the number 90.5 to YAML; write it so, or put it in quotes"),
    ("010", "`010` is the number 8 to YAML; write it so, or put it in quotes"),
    ("0x10", "`0x10` is the number 16 to YAML; write it so, or put it in quotes"),
    ("1_000", "`1_000` is the number 1000 to YAML; write it so, or put it in quotes"),
    ("[a, +1]", "`+1` is the number 1 to YAML; write it so, or put it in quotes"),
    ("=", "`=` is a sign of its own to YAML; put it in quotes"),
    ("!!set {a}", "the tag `!!set` is not read; write the value without it"),
    ("!!omap [a: 1]", "the tag `!!omap` is not read; write the value without it"),
    ("!!binary aGk=", "the tag `!!binary` is not read; write the value without it"),
    ("!!python/name:os.system", "the tag `!!python/name:os.system` is not read; write the value without it"),
    ("!mine [1]", "the tag `!mine` is not read; write the value without it"),
    ('"\\0"', "a text holds the character NUL; remove it"),
    ('{"\\0": 1}', "a key holds the character NUL; remove it"),
    ("{<<: 3}", "`<<` takes a mapping, or a list of them"),
    ("{<<: [{b: 1}, 3]}", "`<<` takes a mapping, or a list of them"),
])  # fmt: skip
def test_a_value_that_is_not_what_is_written_is_refused(mistakes_in, value, mistake):
    assert mistakes_in(f"seed: 1\na: {value}\n") == [f"2: {mistake}"]


def test_values_that_yaml_and_json_share_are_read(write):
    text = (
        "a: [1, -2, 2.5, .5, 1.0e-3, 1e3, on, No, !!bool no, true, ~, '', !!str 1, 08, 9223372036854775807]"
    )
    assert parse(write(text))["a"] == [
        *(1, -2, 2.5, 0.5, 0.001, "1e3", "on", "No", False, True, None, "", "1", "08"), 2**63 - 1,
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "what"), [
    ("a: {b: c-{task}}", 2, "did not find expected ',' or '}'; strings with braces need quotes"),
    ("a: {task}-x", 2, "strings with braces need quotes"),
    ("a: b: c", 2, "not allowed in this context; a string with a colon needs quotes"),
    ("\t- a", 2, "found a tab character that violates indentation; indent with spaces, not tabs"),
    ("a: {b: c: d}", 2, "a string with a colon needs quotes"),
    ('a: {b: "c', 3, "found unexpected end of stream; close the quotation marks"),
    ('a: {b: "\\ud800"}', 2, "found invalid Unicode character escape code"),
    ("a: @x", 2, "cannot start any token; a string that begins with a sign needs quotes"),
    ("a: *.txt", 2, "alphabetic or numeric character; a string that begins with a sign needs quotes"),
    ("a: [1,\n2", 4, "sequence that begins in line 2, did not find expected ',' or ']'"),
    ("b: *a", 2, "found undefined alias; a string that begins with a sign needs quotes"),
    ("---\na: 1", 2, "stream that begins in line 1, but found another document"),
    ("a: b\x01", 2, "is not YAML: control characters are not allowed (U+0001)"),
])  # fmt: skip
def test_what_is_not_yaml_is_refused_with_its_line(mistakes_in, text, line, what):
    (mistake,) = mistakes_in(f"seed: 1\n{text}\n")
    assert mistake.startswith(f"{line}: is not YAML: ")
    assert mistake.endswith(what)


@pytest.mark.parametrize("text", [
    f"a: {'[' * 10_000}", f"a: {'[' * 10_000}{']' * 10_000}", f"a: {'{b: ' * 10_000}", "a: &x [*x]",
    "\n".join(f"{' ' * depth}a:" for depth in range(10_000 // 50)), "a: {<<: &x {<<: *x}}",
    json.dumps({"a": 1}).replace("1", "[" * 10_000 + "]" * 10_000),
])  # fmt: skip
def test_what_lies_too_deep_is_refused(mistakes_in, text):
    (mistake,) = mistakes_in(text)
    assert mistake.endswith(f": more than {DEEPEST} levels lie in each other, or an alias in itself")


def test_aliases_of_aliases_are_counted(mistakes_in):
    lines = ["a0: &a0 [1, 1]", *(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]" for i in range(60))]
    merged = [
        "a0: &a0 {x0: 1}",
        *(f"a{i}: &a{i} {{x{i}: 1, <<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 60)),
    ]
    for text in ("\n".join(lines), "\n".join(merged)):
        (mistake,) = mistakes_in(text)
        assert mistake.endswith(f"more than {MOST_VALUES:,} values, with an alias's values counted each time")


@pytest.mark.parametrize("text", ["", "- a\n- b", "text"])
def test_a_config_is_a_mapping(write, text):
    with pytest.raises(ConfigError, match="expected a mapping of sections such as `models`"):
        parse(write(text))


def test_only_regular_files_of_text_are_read(tmp_path):
    found = {}
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "latin").write_bytes(b"seed: \xe9")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(MOST_BYTES + 1)
    names = ("none", "folder", "fifo", "latin", "loop", "large", "file\0", "x" * 5000)
    for name in names:
        with pytest.raises(ConfigError) as error:
            parse(tmp_path / name)
        found[name] = str(error.value)
    assert [found[name].rpartition(f"{name}: ")[2] for name in names[:6]] == [
        "cannot be read: No such file or directory",
        "is a folder; give a config file",
        "is no regular file; give a config file",
        "is not text in UTF-8 (byte 6); save it as UTF-8",
        "cannot be read: Too many levels of symbolic links",
        "has 10,000,001 bytes; a config has at most 10,000,000",
    ]
    assert found[names[6]].endswith("cannot be read: embedded null byte")
    assert found[names[7]].endswith("cannot be read: File name too long")
    with pytest.raises(ConfigError, match="/dev/zero: is no regular file"):
        parse(type(tmp_path)("/dev/zero"))
