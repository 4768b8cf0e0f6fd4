"""Costs of units as Pyomo expressions."""

from __future__ import annotations

from typing import Any


def cost_of(power: Any, cost: tuple[float, float, float]) -> Any:
    """Cost of a unit in $ per hour.

    Parameters
    ----------
    power : Pyomo variable
        MW.
    cost : tuple of 3 floats
        (c2, c1, c0) of `Unit`.

    Returns
    -------
    Pyomo expression
        Linear if c2 is 0: a quadratic term with coefficient 0 would turn a linear program into a quadratic one.
    """
    c2, c1, c0 = map(float, cost)
    return c1 * power + c0 + (c2 * power**2 if c2 else 0.0)
