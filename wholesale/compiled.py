"""Programs that were compiled before: the same network with other loads needs no new compilation.

Compiling goes through Pyomo and costs more than the solution. What a compiled program depends on is held here by
identity (a `System` keeps its tuples when only loads change), and hourly numbers are all written anew for each use, so
a program from here gives the answer a new one would give.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from wholesale.system import System

KEPT = 8  # programs; the largest in use, 1354 buses, holds about 10 MB

_held: OrderedDict[tuple[Hashable, ...], tuple[tuple[Any, ...], Any]] = OrderedDict()


def compiled(system: System, what: tuple[Hashable, ...], make: Callable[[], Any]) -> Any:
    """Return what was made for a system of the same units and lines, or make it.

    Parameters
    ----------
    system : System
        Only its buses, units, lines and base count here, the tuples by identity.
    what : tuple
        What else the result depends on.
    make : function without parameters
        Called if nothing is held.

    Returns
    -------
    object
        The result of `make`; the last 8 are held.
    """
    parts = (system.buses, system.units, system.lines)
    key = (*map(id, parts), system.base_mva, *what)
    if key in _held:
        _held.move_to_end(key)
        return _held[key][1]
    made = make()
    _held[key] = (parts, made)  # holding the parts keeps their identities from being given to others
    while len(_held) > KEPT:
        _held.popitem(last=False)
    return made


def forget_all() -> None:
    """Drop everything that is held, e.g. to measure a cold start."""
    _held.clear()
