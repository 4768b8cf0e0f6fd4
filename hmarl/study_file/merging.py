"""How an override meets a section of a study: the merge rule, for arms and for single changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmarl.study_file.plugin_code import anchored
from hmarl.study_file.problems import StudyError, unknown

NAMED = {
    "auction": "auctions",
    "forecast": "forecasts",
    "followers": "policies",
    "leader": "leaders",
    "wholesale": "markets",
}
KEYS = ("name", "source")
"""Where the name of a plug-in stands in its section."""
SECTIONS = (
    "calendar",
    "community",
    "tariff",
    "auction",
    "game",
    "forecast",
    "clusters",
    "followers",
    "leader",
    "wholesale",
    "equilibrium",
)


def normal(section: str, raw: Any) -> Any:
    """Bring the short forms of a section to the long one.

    Parameters
    ----------
    section : str
        One of `SECTIONS`.
    raw : Any
        As written.

    Returns
    -------
    Any
        A bare name becomes ``{name: ...}``; everything else is returned as it is.
    """
    if section == "wholesale" and raw is None:
        raw = "none"
    if isinstance(raw, str) and (section in NAMED or section in ("tariff", "clusters")):
        return {"name": raw}
    return {"source": raw} if isinstance(raw, str) and section == "community" else raw


def with_whole_paths(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Say from the root where files of plug-ins are, ``FILE.py:Class``.

    Parameters
    ----------
    document : dict
        A study, or an arm of it, as written.
    folder : Path
        Of the study file.

    Returns
    -------
    dict
        The same wherever it is read.
    """
    found = dict(document)
    for section in [name for name in (*NAMED, "community") if name in document]:
        found[section] = _whole(document[section], folder)
    if isinstance(arms := document.get("arms"), Mapping):
        found["arms"] = {
            name: with_whole_paths(dict(arm), folder) if isinstance(arm, Mapping) else arm for name, arm in arms.items()
        }
    if isinstance(vary := document.get("vary"), Mapping):
        found["vary"] = {
            path: [_whole(value, folder) for value in values] if isinstance(values, list) else values
            for path, values in vary.items()
        }
    return found


def _whole(value: Any, folder: Path) -> Any:
    """A name, or a mapping with one, with the whole path if it is that of a file."""
    if isinstance(value, Mapping):
        return {k: _whole(item, folder) if k in KEYS and isinstance(item, str) else item for k, item in value.items()}
    return anchored(value, folder) if isinstance(value, str) else value


def merge(section: str, base: Any, over: Any) -> Any:
    """Put the override of an arm over a section.

    Parameters
    ----------
    section : str
        One of `SECTIONS`.
    base, over : Any
        As written, in `normal` form.

    Returns
    -------
    Any
        Merged key by key; a section whose plug-in changes its name is replaced as a whole.
    """
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    key = "source" if section == "community" else "name" if section in NAMED else None
    if key and key in over and over[key] != base.get(key):
        return dict(over)
    return {**base, **{name: merge("", base.get(name), value) for name, value in over.items()}}


def put(document: dict[str, Any], path: list[str], value: Any) -> None:
    """Write one value into a document by the merge rule of its section.

    Parameters
    ----------
    document : dict
        A study as written; changed in place.
    path : list of str
        Parts of the dotted path.
    value : Any
        Plain value.

    Raises
    ------
    StudyError
        If the path leads to an arm that does not exist.
    """
    if path[0] == "arms" and len(path) > 1:
        arms = document.setdefault("arms", {})
        if path[1] not in arms:
            raise StudyError([unknown(".".join(path), path[1], arms, what="arm", label="arms")])
        arms[path[1]] = dict(arms[path[1]] or {})
        if len(path) > 2:
            put(arms[path[1]], path[2:], value)
        else:
            for section, over in (value or {}).items():
                put(arms[path[1]], [section], over)
        return
    section = path[0]
    for key in reversed(path[1:]):
        value = {key: value}
    if section not in SECTIONS and len(path) == 1:
        document[section] = value
        return
    value = normal(section, value)
    below = normal(section, document[section]) if section in document else None
    document[section] = value if below is None else merge(section, below, value)
