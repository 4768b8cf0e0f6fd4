"""Sentences about names that do not exist: what is allowed and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 20  # a system of 300 buses is not listed in an error message


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Sentence for an unknown name.

    Parameters
    ----------
    kind : str
        What was asked for, e.g. "market".
    name : object
        What was given.
    allowed : iterable of str
        The names that exist.

    Returns
    -------
    str
        A sentence with the nearest name, if one is near, and the allowed names (the first 20 of them).
    """
    names = [str(a) for a in allowed]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"Unknown {kind} {name!r}.{hint} Allowed: {', '.join(names[:SHOWN])}{more}."


def position(bus: str, buses: tuple[str, ...]) -> int:
    """Index of a bus.

    Parameters
    ----------
    bus : str
        Its name.
    buses : tuple of str
        All names.

    Raises
    ------
    ValueError
        The bus is unknown.
    """
    if bus not in buses:
        raise ValueError(unknown("bus", bus, buses))
    return buses.index(bus)
