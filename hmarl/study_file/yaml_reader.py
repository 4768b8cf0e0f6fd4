"""Safe YAML with the rules of YAML 1.2: what looks like a word stays a word.

``on``, ``off``, ``yes`` and ``no`` are words, only ``true`` and ``false`` are booleans, ``1e-3`` is a number, ``017``
is seventeen, ``17:30`` and ``2012-07-02`` are strings. Duplicate and non-string keys are mistakes with a line number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from hmarl.study_file.problems import Problem

NODE_LIMIT = 100_000
"""Values in one file; aliases of aliases could otherwise stand for billions."""

TAGGED = "is a tag, which is not allowed"
MOST_DIGITS = 300
"""Of a whole number; about as large as a floating-point number can be."""

_TAG = "tag:yaml.org,2002:"
_RULES: tuple[tuple[str, str, str], ...] = (
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalar rules of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own way to hold them


class _Dumper(yaml.SafeDumper):
    """Quotes exactly what `_Loader` would take for something else than a string."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own way to hold them


for _kind in (_Loader, _Dumper):
    for _name, _pattern, _first in _RULES:
        _kind.add_implicit_resolver(_TAG + _name, re.compile(_pattern), ["" if c == "\0" else c for c in _first])


@dataclass
class Document:
    """What a YAML file says.

    Parameters
    ----------
    values : Any
        Plain values: dict, list, str, int, float, bool, None.
    lines : dict
        Dotted path -> line number, counted from 1.
    problems : list of Problem
        Mistakes of the form (not of the meaning).
    """

    values: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(text: str) -> Document:
    """Read one YAML document.

    Parameters
    ----------
    text : str
        The whole file.

    Returns
    -------
    Document
        Values and every mistake; after a syntax error the values are None.
    """
    document = Document()
    try:
        node = yaml.compose(text, Loader=_Loader)
        document.values = _Builder(document).build(node, "") if node is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = mark.line + 1 if mark else None
        document.problems.append(Problem("YAML", _line_of(text, line), reason=f"cannot be read: {said}", line=line))
    except RecursionError:
        document.problems.append(Problem("YAML", "...", reason="is nested too deeply or contains itself"))
    return document


def write(values: Any) -> str:
    """Write plain values as YAML that `read` gives back unchanged.

    Parameters
    ----------
    values : Any
        Plain values.

    Returns
    -------
    str
        Block style, keys in their order.
    """
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


class _Builder:
    """Turns nodes into values and remembers where each stood."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def build(self, node: yaml.Node, path: str) -> Any:
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            raise yaml.YAMLError(f"more than {NODE_LIMIT} values; aliases may repeat too much")
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            problem = Problem(path or "top level", node.tag, "plain YAML without tags", reason=TAGGED)
            self._complain(problem, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{path}.{place}") for place, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not (isinstance(key_node, yaml.ScalarNode) and key_node.tag == _TAG + "str"):
                written = getattr(key_node, "value", key_node)
                reason = "is a key that is no string"
                problem = Problem(path or "top level", written, "put it in quotes if a name is meant", reason=reason)
                self._complain(problem, line)
                continue
            key = str(key_node.value)
            below = f"{path}.{key}" if path else key
            if key in values:
                reason = f"is given twice, first in line {first[key]}"
                self._complain(Problem(below, key, "each key once", reason=reason), line)
                continue
            first[key] = line
            self.document.lines[below] = line
            values[key] = self.build(value_node, below)
        return values

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            if len(text) > MOST_DIGITS:
                problem = Problem(path, text, f"at most {MOST_DIGITS} digits", reason="is too long a number")
                self._complain(problem, node.start_mark.line + 1)
                return text
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if kind == "float":
            return _real(text)
        if kind != "str":
            problem = Problem(path, node.tag, "plain YAML without tags", reason=TAGGED)
            self._complain(problem, node.start_mark.line + 1)
        return text

    def _complain(self, problem: Problem, line: int) -> None:
        fields = (problem.path, problem.value, problem.allowed, problem.nearest, problem.reason)
        self.document.problems.append(Problem(*fields, line=line))


def _real(text: str) -> float:
    special = text.lower().lstrip("+-")
    if special == ".nan":
        return math.nan
    if special == ".inf":
        return -math.inf if text.startswith("-") else math.inf
    return float(text)


def _line_of(text: str, line: int | None) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip() if line and line <= len(lines) else ""
