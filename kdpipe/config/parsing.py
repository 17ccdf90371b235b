"""Config files from YAML to plain values; an error names the file and the line of a value that is not plain.

YAML 1.1 reads some words as something else than text, and Snakemake passes a config on as JSON. Therefore
keys are text, and JSON knows all values. Limits keep a file from taking all of a machine's memory.
"""

import json
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from kdpipe.errors import ConfigError, Problem

TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = ("bool", "float", "int", "null")
# The kinds of words that YAML does not read as text, in words.
IN_WORDS = {
    "bool": "a boolean",
    "float": "a number",
    "int": "a number",
    "merge": "a sign of its own",
    "null": "nothing",
    "timestamp": "a date",
    "value": "a sign of its own",
}
# Written out, a config with 1,700 models takes a tenth of this.
MOST_BYTES, MOST_VALUES, DEEPEST = 10_000_000, 200_000, 100
BITS = 64
# As in YAML 1.2: `no`, `on` and the like are names as often as answers; settings take such answers as text.
BOOLEAN = re.compile("true|True|TRUE|false|False|FALSE")
# JSON writes a character beyond the first 65,536 as two escapes, which YAML does not know.
SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)")
# Patterns of lines that are not YAML, and what to do about them.
HINTS = {
    r"^ *\t": "indent with spaces, not tabs",
    r": [^\"'{}\[\],]*:(\s|$)": "a string with a colon needs quotes",
    r"(:|-) +[@`%&*!|>]": "a string that begins with a sign needs quotes",
    r"\{[^{}:,]*\}": "strings with braces need quotes",
}


class _UnplainError(Exception):
    """A key or value that is not plain."""


def parse(path: Path) -> dict[str, Any]:
    """Return the sections of a config file.

    Raises:
        ConfigError: the file is missing, is not YAML, or has values that are not plain.
    """
    text = _read(path)
    parser = _Parser(path, text)
    try:
        content = parser.parse()
    except yaml.YAMLError as error:
        raise ConfigError([_explain(error, path, text)]) from None
    if parser.problems:
        raise ConfigError(parser.problems)
    if not isinstance(content, dict):
        raise ConfigError([Problem(str(path), "expected a mapping of sections such as `models`")])
    return content


def _read(path: Path) -> str:
    where = str(path)
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES:
            text = path.read_text(encoding="utf-8")
            is_json = text.lstrip().startswith("{")
            return (
                SURROGATES.sub(lambda pair: pair[1] + json.loads(f'"{pair[2]}"'), text) if is_json else text
            )
        what = f"has {status.st_size:,} bytes; a config has at most {MOST_BYTES:,}"
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            what = f"is {kind}; give a config file"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        what = f"is not text in UTF-8 (byte {error.start}); save it as UTF-8"
    except ValueError as error:
        # A path with the character NUL.
        where, what = repr(where), f"cannot be read: {error}"
    raise ConfigError([Problem(where, what)])


class _Parser(yaml.CSafeLoader):
    """Makes plain values of the YAML text of a file."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.problems: list[Problem] = []
        self._path = path
        self._depth = self._count = 0

    def parse(self) -> Any:
        """Return the content of the file, and note values that are not plain.

        Raises:
            yaml.YAMLError: the text is not YAML.
            ConfigError: the content is larger than a config may be.
        """
        node = self.get_single_node()
        return None if node is None else self._value(node)

    def descend_resolver(self, current_node: yaml.Node | None, current_index: Any) -> None:
        """Count how deep a node lies, before the C code that reads it goes deeper."""
        self._descend(current_node)

    def ascend_resolver(self) -> None:
        """Go back to the node above."""
        self._depth -= 1

    def _descend(self, node: yaml.Node | None) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            what = f"more than {DEEPEST} levels lie in each other, or an alias in itself"
            raise ConfigError([self._problem(node, what)])

    def _value(self, node: yaml.Node) -> Any:
        """Return the value of a node; an aliased node is read and counted each time."""
        self._descend(node)
        self._count += 1
        if self._count > MOST_VALUES:
            what = f"there are more than {MOST_VALUES:,} values, with an alias's values counted each time"
            raise ConfigError([self._problem(node, what)])
        try:
            return self._plain(node, node.tag.removeprefix(TAG))
        except _UnplainError as error:
            self.problems.append(self._problem(node, str(error)))
        finally:
            self._depth -= 1

    def _plain(self, node: yaml.Node, kind: str) -> Any:
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self._value(item) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and (kind in IN_WORDS or kind == "str"):
            return self._scalar(node, kind)
        tag = node.tag.replace(TAG, "!!")
        raise _UnplainError(f"the tag `{tag}` is not read; write the value without it")

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        below: dict[str, Any] = {}
        for key, item in node.value:
            if key.tag == f"{TAG}merge":
                for part in self._merged(item):
                    below = {**part, **below}
            elif self._is_key(key, values):
                values[key.value] = self._value(item)
        return {**below, **values}

    def _merged(self, node: yaml.Node) -> Iterator[dict[str, Any]]:
        """Yield the mappings that `<<` lays below another, the first one uppermost."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            mapping = self._value(part)
            if isinstance(mapping, dict):
                yield mapping
            else:
                self.problems.append(self._problem(part, "`<<` takes a mapping, or a list of them"))

    def _is_key(self, node: yaml.Node, known: dict[str, Any]) -> bool:
        """Tell whether a node can be a further key of a mapping."""
        kind = node.tag.removeprefix(TAG)
        if not isinstance(node, yaml.ScalarNode):
            what = "expected a name as key; put one with braces in quotes"
        elif kind != "str":
            what = (
                f"the key `{node.value[:BITS]}` is {IN_WORDS.get(kind, 'not text')} to YAML; put it in quotes"
            )
        elif "\0" in node.value:
            what = "a key holds the character NUL; remove it"
        elif node.value in known:
            what = f"key {node.value!r} stands twice; remove or rename one"
        else:
            return True
        self.problems.append(self._problem(node, what))
        return False

    def _scalar(self, node: yaml.ScalarNode, kind: str) -> Any:
        if kind == "str":
            if "\0" in node.value:
                raise _UnplainError("a text holds the character NUL; remove it")
            return node.value
        written = f"`{node.value[:BITS]}`"
        if kind not in PLAIN_TAGS:
            raise _UnplainError(f"{written} is {IN_WORDS[kind]} to YAML; put it in quotes")
        try:
            value = self.construct_object(node)
        except (ValueError, KeyError, OverflowError):
            what = f"{written} is {IN_WORDS[kind]} to YAML that it cannot read; put it in quotes"
            raise _UnplainError(what) from None
        if kind == "int" and value.bit_length() >= BITS:
            raise _UnplainError(f"{written} has more than {BITS} bits; give a smaller number")
        if _is_rewritten(value, node.value):
            raise _UnplainError(f"{written} is the number {value} to YAML; write it so, or put it in quotes")
        return value

    def _problem(self, node: yaml.Node | None, what: str) -> Problem:
        return Problem(f"{self._path}:{node.start_mark.line + 1 if node else 1}", what)


_Parser.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != f"{TAG}bool"]
    for first, known in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Parser.add_implicit_resolver(f"{TAG}bool", BOOLEAN, list("tTfF"))


def _is_rewritten(value: Any, written: str) -> bool:
    """Tell whether YAML reads a number from a text that a user may mean as a name: 1_000, 0x10, 010, 1:30."""
    if isinstance(value, float):
        return "_" in written or ":" in written
    return type(value) is int and str(value) != written


def _explain(error: yaml.YAMLError, path: Path, text: str) -> Problem:
    """Return the mistake of a file that is not YAML, with its line and a hint."""
    if isinstance(error, yaml.reader.ReaderError):
        number = text.encode()[: error.position].count(b"\n")
        return Problem(f"{path}:{number + 1}", f"is not YAML: {error.reason} (U+{error.character:04X})")
    assert isinstance(error, yaml.MarkedYAMLError)
    mark = error.problem_mark
    assert mark is not None
    begun = error.context_mark or mark
    context = error.context or ""
    if context and begun.line != mark.line:
        context += f" that begins in line {begun.line + 1}"
    what = ", ".join(filter(None, (context, error.problem)))
    lines = text.splitlines()
    seen = [lines[number] for number in (mark.line, begun.line) if number < len(lines)]
    hints = (hint for line in seen for pattern, hint in HINTS.items() if re.search(pattern, line))
    if "quoted scalar" in context:
        hints = (hint for hint in ["close the quotation marks"] if "end of stream" in what)
    return Problem(f"{path}:{mark.line + 1}", "; ".join([f"is not YAML: {what}", *islice(hints, 1)]))
