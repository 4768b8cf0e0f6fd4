"""Check plain values (what YAML gives) against a pydantic model or a plain dataclass, all mistakes in one pass."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hmarl.study_file.problems import MISSING, Problem, nearest, unknown

Schema = dict[str, Any]

MOST = 1e15
"""Largest number of a study; every whole number up to it is one in floating point too."""


def validate(kind: type, values: Mapping[str, Any], *, what: str, label: str) -> tuple[Any, list[Problem]]:
    """Build an instance from plain values.

    Strict: ``true`` is no number and ``"3"`` is no integer, but lists serve as tuples, ISO strings as dates and ``2e3``
    as an integer. Strict JSON is exactly that, so values travel as JSON.

    Parameters
    ----------
    kind : type
        A pydantic model or a dataclass.
    values : mapping of str to plain values
        Keys are the fields.
    what : str
        Name of the thing in sentences, e.g. ``calendar`` or ``leader mark-up``.
    label : str
        What its fields are called: ``keys`` or ``parameters``.

    Returns
    -------
    instance : object or None
        None if there are problems.
    problems : list of Problem
        Paths are relative to ``values``.
    """
    fields = list(schema(kind).get("properties", {}))
    singular = label.removesuffix("s")
    problems = [
        unknown(key, key, fields, what=f"{singular} of {what}", label=label) for key in values if key not in fields
    ]
    known = {key: plain(value) for key, value in values.items() if key in fields}
    problems += _strangers(known, schema(kind), schema(kind)["$defs"], what)
    problems += _out_of_range(known)
    said = {problem.path for problem in problems}
    try:
        instance = adapter(kind).validate_json(json.dumps(_clipped(known), default=str), strict=True)
    except ValidationError as error:
        problems += [p for p in _explain(error, known, schema(kind), what=what) if p.path not in said]
        return None, problems
    return (None if problems else instance), problems


@lru_cache(maxsize=256)
def adapter(kind: type) -> TypeAdapter[Any]:
    """Build the pydantic adapter of a class, once.

    Parameters
    ----------
    kind : type
        A pydantic model or a dataclass.

    Returns
    -------
    TypeAdapter
        Validates and dumps instances.
    """
    return TypeAdapter(kind)


@lru_cache(maxsize=256)
def schema(kind: type) -> Schema:
    """JSON schema of a class.

    Parameters
    ----------
    kind : type
        A pydantic model or a dataclass.

    Returns
    -------
    dict
        With ``properties`` in the order of the fields.
    """
    full = adapter(kind).json_schema()
    return {**_deref(full, full.get("$defs", {})), "$defs": full.get("$defs", {})}


def plain(value: Any) -> Any:
    """Bring a value to what JSON knows.

    Parameters
    ----------
    value : Any
        Mappings, sequences, arrays, dates, numbers, strings.

    Returns
    -------
    Any
        Whole floats become integers, since ``2e3`` episodes are meant as 2000.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return int(value)
    return value


def _strangers(values: Mapping[str, Any], of: Schema, definitions: Schema, what: str) -> list[Problem]:
    """Unknown keys of dataclasses inside; models refuse theirs themselves, dataclasses would silently drop them."""
    found: list[Problem] = []
    for key, value in values.items():
        part = _deref(of.get("properties", {}).get(key, {}), definitions)
        branches = [_deref(branch, definitions) for branch in [part, *part.get("anyOf", [])]]
        inner = next((branch for branch in branches if "properties" in branch), None)
        if inner is None or not isinstance(value, Mapping):
            continue
        below = f"{what}.{key}"
        if inner.get("additionalProperties") is not False:
            names = list(inner["properties"])
            lost = [name for name in value if name not in names]
            found += [unknown(name, name, names, what=f"key of {below}", label="keys").under(key) for name in lost]
        found += [problem.under(key) for problem in _strangers(value, inner, definitions, below)]
    return found


def _clipped(value: Any) -> Any:
    """Whole numbers that are refused anyway, cut to a size that the checks of a class can compute with."""
    if isinstance(value, Mapping):
        return {key: _clipped(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clipped(one) for one in value]
    huge = isinstance(value, int) and not isinstance(value, bool) and abs(value) > MOST
    return (int(MOST) if value > 0 else -int(MOST)) if huge else value


def _out_of_range(value: Any, path: str = "") -> list[Problem]:
    """Numbers that no quantity of a study can be, whatever its unit."""
    if isinstance(value, Mapping | list):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [p for key, part in parts for p in _out_of_range(part, f"{path}.{key}" if path else str(key))]
    if not isinstance(value, int | float) or abs(value) <= MOST:  # false for nan too
        return []
    return [Problem(path, value, f"allowed: finite numbers up to {MOST:.0e}, either sign")]


def _explain(error: ValidationError, values: Mapping[str, Any], of: Schema, *, what: str) -> list[Problem]:
    """Turn pydantic's errors into sentences; errors of the other branches of a union say the same thing again."""
    found: dict[str, Problem] = {}
    for entry in error.errors(include_url=False):
        path = _path(entry["loc"], values, entry["type"] == "missing")
        text = ".".join(str(part) for part in path)
        here = _at(of, path)
        if entry["type"] == "missing":
            problem = Problem(text, None, describe(here, of["$defs"]), reason=MISSING)
        elif entry["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            owner = _at(of, path[:-1]) or of
            name = ".".join([what, *(str(part) for part in path[:-1])])
            problem = unknown(text, path[-1], owner.get("properties", {}), what=f"key of {name}", label="keys")
        elif entry["type"] == "value_error":
            message = str(entry["ctx"]["error"]).rstrip(".")
            text, value = _blame(text, entry["input"], message)
            problem = Problem(text, value, reason=f"is not allowed: {message}")
        else:
            choices = _choices(here, of["$defs"])
            allowed = describe(here, of["$defs"]) or str(entry["msg"]).removeprefix("Input should be ")
            problem = Problem(text, entry["input"], f"allowed: {allowed}", nearest(entry["input"], choices))
        found.setdefault(text, problem)
    return [p for path, p in found.items() if not any(other.startswith(f"{path}.") for other in found)]


def _blame(path: str, value: Any, message: str) -> tuple[str, Any]:
    """Point to the one field that a rule over several fields names, if it names exactly one."""
    if not isinstance(value, dict):
        return path, value
    words = message.replace("`", " ").replace("'", " ").replace(",", " ").replace(":", " ").split()
    named = [key for key in value if key in words]
    if len(named) != 1:
        return path, value
    return (f"{path}.{named[0]}" if path else named[0]), value[named[0]]


def _path(loc: tuple[int | str, ...], values: Any, missing: bool) -> list[int | str]:
    """Drop the names of union branches, which pydantic mixes into the path."""
    path: list[int | str] = []
    for place, part in enumerate(loc):
        last = place == len(loc) - 1
        if isinstance(values, dict) and (part in values or (last and missing)):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        else:
            continue
        path.append(part)
    return path


def _at(of: Schema, path: Sequence[int | str]) -> Schema:
    definitions = of.get("$defs", {})
    here = of
    for part in path:
        for branch in [here, *here.get("anyOf", [])]:
            candidate = _deref(branch, definitions)
            if part in candidate.get("properties", {}):
                here = _deref(candidate["properties"][part], definitions)
                break
            if isinstance(part, int) and "items" in candidate:
                here = _deref(candidate["items"], definitions)
                break
        else:
            return {}
    return here


def _deref(part: Schema, definitions: Schema) -> Schema:
    reference = part.get("$ref")
    return definitions[reference.rsplit("/", 1)[1]] if reference else part


def _choices(part: Schema, definitions: Schema) -> list[str]:
    names = [*part.get("enum", []), *([part["const"]] if "const" in part else [])]
    for branch in part.get("anyOf", []):
        names += _choices(_deref(branch, definitions), definitions)
    return [name for name in names if isinstance(name, str)]


def describe(part: Schema, definitions: Schema) -> str:
    """Say in words what a schema allows.

    Parameters
    ----------
    part : dict
        JSON schema of one value.
    definitions : dict
        What its references point to.

    Returns
    -------
    str
        E.g. ``an integer >= 1``, ``'own' or 'community'``; empty if the schema says nothing.
    """
    part = _deref(part, definitions)
    if "anyOf" in part:
        return " or ".join(filter(None, (describe(branch, definitions) for branch in part["anyOf"])))
    if "enum" in part or "const" in part:
        return " or ".join(repr(name) for name in part.get("enum", [part.get("const")]))
    kind = part.get("type")
    if kind == "object":
        return f"a mapping with keys {', '.join(part['properties'])}" if "properties" in part else "a mapping"
    if kind == "array":
        items = describe(part.get("items", {}), definitions)
        return f"a list, each {items}" if items else "a list"
    words = {"integer": "an integer", "number": "a number", "string": "a string", "boolean": "true or false"}
    words["null"] = "nothing"
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = " and ".join(f"{sign} {part[name]:g}" for name, sign in bounds.items() if name in part)
    form = {"date": "a date like 2012-07-02"}.get(part.get("format", ""), words.get(str(kind), ""))
    pattern = f" matching {part['pattern']}" if "pattern" in part else ""
    return f"{form}{pattern}{' ' + limits if limits else ''}"
