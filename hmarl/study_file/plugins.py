"""Swappable things by name: policies, auctions, markets, leaders, forecasts and data sources.

Each kind has one table of strings, ``{"mark-up": "aggregator.leaders.mark_up:MarkUp"}``, in the package where the
things live, and an entry-point group ``hmarl.<kind>`` of the same form for other distributions; ``FILE.py:Class`` needs
neither. A class is imported when named.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from itertools import takewhile
from pathlib import Path
from typing import Any

from hmarl.study_file.plugin_code import NotThere, anchored, code_of, file_of, imported
from hmarl.study_file.problems import PluginError, Problem, unknown
from hmarl.study_file.validation import adapter, schema, validate

KINDS: dict[str, str] = {
    "policies": "policy",
    "auctions": "auction",
    "markets": "market",
    "leaders": "leader",
    "forecasts": "forecast",
    "sources": "source",
}
"""Kind of thing -> what one of them is called."""

TABLES: dict[str, tuple[str, str]] = {
    "policies": ("hmarl.policies", "POLICIES"),
    "auctions": ("retail", "AUCTIONS"),
    "markets": ("wholesale", "MARKETS"),
    "leaders": ("aggregator", "LEADERS"),
    "forecasts": ("hmarl.forecasts", "FORECASTS"),
    "sources": ("retail", "SOURCES"),
}
"""Kind of thing -> module and name of its table."""


OURS = "hmarl"
"""The distribution whose tables come first."""


def names(kind: str) -> list[str]:
    """Names of a kind, those of this project first.

    Parameters
    ----------
    kind : str
        One of `KINDS`.

    Returns
    -------
    list of str
        As used in study files.

    Raises
    ------
    PluginError
        If there is no such kind.
    """
    return list(_table(kind))


def known(kind: str, name: str) -> bool:
    """Say whether something is a name, be it usable or not.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    name : str
        Perhaps one of `names(kind)`, or ``FILE.py:Class``.

    Returns
    -------
    bool
        Whether `load` would look for it.
    """
    return file_of(name) is not None or name in _table(kind)


def load(kind: str, name: str) -> type:
    """Import the class of a name.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    name : str
        One of `names(kind)`, or ``FILE.py:Class``.

    Returns
    -------
    type
        A frozen dataclass of hyper-parameters.

    Raises
    ------
    PluginError
        If the name does not exist or is taken twice, cannot be imported, or does not lead to a frozen dataclass whose
        fields a study file can hold.
    """
    offer = _offer(kind, name)

    def refused(reason: str, allowed: str) -> PluginError:
        return PluginError([Problem(kind, _short(name), allowed, reason=f"of {offer} {reason}")])

    try:
        found = imported(offer.target)
    except (Exception, SystemExit) as error:  # whatever the code of others does when it is imported
        raise refused(
            f"cannot be imported: {_cause(error)}", f"mend it, or remove it; the form is {_form(name)}"
        ) from error
    asked = "a frozen dataclass of hyper-parameters, @dataclass(frozen=True)"
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise refused("is no dataclass", asked)
    fixed: Any = found
    if not fixed.__dataclass_params__.frozen:
        raise refused("is a dataclass that is not frozen", asked)
    try:
        schema(found)
    except Exception as error:
        allowed = "numbers, strings, booleans, and tuples, mappings and dataclasses of them"
        raise refused(f"has a field that no study file can hold: {_cause(error)}", allowed) from error
    return found


def usable(kind: str) -> tuple[list[str], list[Problem]]:
    """Import everything of a kind.

    Parameters
    ----------
    kind : str
        One of `KINDS`.

    Returns
    -------
    names : list of str
        What can be used.
    problems : list of Problem
        Why the other names cannot.
    """
    found: list[str] = []
    problems: list[Problem] = []
    for name in names(kind):
        try:
            load(kind, name)
            found.append(name)
        except PluginError as error:
            problems += error.problems
    return found, problems


def code(kind: str, name: str) -> str | None:
    """Tell the code of a plug-in of others from what it was before.

    Parameters
    ----------
    kind, name : str
        As for `load`.

    Returns
    -------
    str or None
        From `hmarl.study_file.plugin_code.code_of`; None for ours.
    """
    return code_of(_offer(kind, name).target, load(kind, name))


def make(kind: str, name: str, **parameters: Any) -> Any:
    """Build a thing from its name and parameters.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    name : str
        One of `names(kind)`.
    **parameters : plain values
        Fields of its dataclass, in the units of its docstring; those left out take their defaults.

    Returns
    -------
    object
        Instance of `load(kind, name)`.

    Raises
    ------
    PluginError
        Listing every wrong name and value at once.
    """
    instance, problems = check(kind, name, parameters)
    if problems:
        raise PluginError(problems, f"{KINDS[kind]} {name}")
    return instance


def check(kind: str, name: str, parameters: dict[str, Any], key: str = "name") -> tuple[Any, list[Problem]]:
    """Like `make`, but mistakes are returned.

    Parameters
    ----------
    kind, name : str
        As for `make`.
    parameters : dict
        Fields of its dataclass; may be wrong.
    key : str
        Where the name stands.

    Returns
    -------
    instance : object or None
        None if there are problems.
    problems : list of Problem
        Paths are names of parameters; of what is wrong with the thing itself it is ``key``.
    """
    try:
        cls = load(kind, name)
    except PluginError as error:
        return None, [dataclasses.replace(problem, path=key) for problem in error.problems]
    try:
        return validate(cls, parameters, what=f"{KINDS[kind]} {_short(name)}", label="parameters")
    except Exception as error:  # a check of its own may raise what no check should
        if _offer(kind, name).owner == OURS:
            raise
        allowed = "a ValueError would say what is wrong with a parameter"
        return None, [Problem(key, _short(name), allowed, reason=f"cannot be made: {_cause(error)}")]


def parameters(instance: Any) -> dict[str, Any]:
    """Every parameter of a thing, defaults included, as plain values.

    Parameters
    ----------
    instance : object
        What `make` returned.

    Returns
    -------
    dict
        ``make(kind, name, **parameters(x)) == x``.
    """
    cls: type = type(instance)
    values = adapter(cls).dump_python(instance, mode="json")
    return {field.name: values[field.name] for field in dataclasses.fields(instance) if field.init}


def one_line(kind: str, name: str) -> str:
    """Say what a thing is, in one line.

    Parameters
    ----------
    kind, name : str
        As for `load`.

    Returns
    -------
    str
        First line of its docstring.
    """
    return (inspect.getdoc(load(kind, name)) or "").partition("\n")[0].rstrip(".")


def source(kind: str, name: str) -> str:
    """Say where a thing comes from.

    Parameters
    ----------
    kind, name : str
        As for `load`.

    Returns
    -------
    str
        The docstring's line ``Source: ...``, or the first line below a heading ``Source``; empty if there is none.
    """
    return _said(kind, name, "Source")


def plays(policy: str) -> str:
    """Say what a policy can play.

    Parameters
    ----------
    policy : str
        One of ``names("policies")``.

    Returns
    -------
    str
        The docstring's line ``Plays: ...``; "any game and arena" if there is none.
    """
    return _said("policies", policy, "Plays") or "any game and arena"


def _said(kind: str, name: str, word: str) -> str:
    """The line ``Word: ...`` of a docstring up to the end of its paragraph, or the first line below such a heading."""
    lines = [line.strip() for line in (inspect.getdoc(load(kind, name)) or "").splitlines()]
    for place, line in enumerate(lines):
        if line.startswith(f"{word}:"):
            rest = takewhile(bool, lines[place + 1 :])
            return " ".join([line.removeprefix(f"{word}:").strip(), *rest])
        if line in (word, f"{word}s"):
            below = [text for text in lines[place + 1 :] if text.strip("-")]
            return below[0] if below else ""
    return ""


@dataclass(frozen=True)
class _Offer:
    """What a name leads to, ``module:Class``, and the distribution that says so; ``FILE.py:Class`` has none."""

    target: str
    owner: str

    def __str__(self) -> str:
        return f"{self.owner} ({self.target})" if self.owner else f"file {file_of(self.target)}"


def _offer(kind: str, name: str) -> _Offer:
    """The only thing of a name; one that is taken twice could be either."""
    table = _table(kind)
    if file_of(name) is not None:
        return _Offer(anchored(name, Path()), "")
    if name not in table:
        raise PluginError([unknown(kind, name, table, what=KINDS[kind], label=kind)])
    first, *others = table[name]
    if others:
        reason = f"is offered by {' and by '.join(map(str, (first, *others)))}: the name is taken"
        raise PluginError([Problem(kind, name, "rename the entry point, or remove the distribution", reason=reason)])
    return first


def _table(kind: str) -> dict[str, list[_Offer]]:
    if kind not in KINDS:
        raise PluginError([unknown("kind", kind, KINDS, what="kind of plug-in", label="kinds")])
    module, attribute = TABLES[kind]
    ours: dict[str, str] = getattr(importlib.import_module(module), attribute)
    table = {name: [_Offer(target, OURS)] for name, target in ours.items()}
    for name, target, owner in _foreign(kind):
        table.setdefault(name, []).append(_Offer(target, owner))
    return table


def _form(name: str) -> str:
    return "module:Class" if file_of(name) is None else "FILE.py:Class"


def _short(name: str) -> str:
    """A file without its folders, which would fill the line."""
    return name if file_of(name) is None else Path(name).name


def _cause(error: BaseException) -> str:
    if isinstance(error, NotThere):
        return str(error)
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0] or 'no message'}"


@lru_cache(maxsize=16)
def _foreign(kind: str) -> tuple[tuple[str, str, str], ...]:
    """Entry points of other distributions; sorted, since the order of installed packages is chance."""
    group = entry_points(group=f"hmarl.{kind}")
    return tuple(sorted((point.name, point.value, point.dist.name if point.dist else "?") for point in group))
