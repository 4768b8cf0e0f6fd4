"""Bids as arrays, and who can be curtailed where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wholesale.market import Bid
from wholesale.names import unknown
from wholesale.system import System


@dataclass(frozen=True, eq=False)
class Book:
    """All bids of one clearing.

    Attributes
    ----------
    bus : ndarray [bid] of int
        Position of each bid's bus.
    lower, upper : ndarray [T, bid]
        MW that may be withdrawn; equal for an inelastic bid.
    value : ndarray [T, bid]
        $/MWh limit of an elastic bid, 0 for an inelastic one.
    withdrawn, injected : ndarray [T, bus]
        MW >= 0 that must be served or taken in: loads, shunts and inelastic bids, by sign. It bounds what can be shed
        and, with the output of units, what can be thrown away.
    """

    bus: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    value: np.ndarray
    withdrawn: np.ndarray
    injected: np.ndarray


def tabulate(system: System, bids: Sequence[Bid], voll: float) -> Book:
    """Check bids against a system and write them as arrays.

    Parameters
    ----------
    system : System
        T hours.
    bids : sequence of Bid
        Any number, several at one bus if wished.
    voll : float
        Value of lost load, $/MWh: the price of shedding, which must exceed every limit price and marginal cost, or
        load would be shed while units stand still.

    Returns
    -------
    Book

    Raises
    ------
    ValueError
        Unknown bus, wrong number of hours, a limit price or a marginal cost at or beyond +-voll.
    """
    for marginal in _marginal_ends(system):
        steep = np.flatnonzero(np.abs(marginal) >= voll)
        if len(steep):
            unit = system.units[steep[0]]
            raise ValueError(
                f"Unit {unit.name!r} has a marginal cost beyond the value of lost load, {voll:g} $/MWh; raise voll."
            )
    for bid in bids:
        _check(bid, system, voll)
    hours, many = system.hours, len(bids)
    mw = np.array([bid.mw for bid in bids], float).reshape(many, hours).T
    elastic = np.array([bid.price is not None for bid in bids], bool)
    value = np.array([np.zeros(hours) if b.price is None else b.price for b in bids], float).reshape(many, hours).T
    bus = np.array([system.buses.index(bid.bus) for bid in bids], int)
    fixed = np.where(elastic, 0.0, mw)
    return Book(
        bus=bus,
        lower=np.where(elastic, np.minimum(mw, 0.0), mw),
        upper=np.where(elastic, np.maximum(mw, 0.0), mw),
        value=value,
        withdrawn=np.maximum(system.load, 0.0) + system.by_bus(np.maximum(fixed, 0.0), bus),
        injected=np.maximum(-system.load, 0.0) + system.by_bus(np.maximum(-fixed, 0.0), bus),
    )


def _marginal_ends(system: System) -> np.ndarray:
    """Marginal cost of each unit at p_min and at p_max, $/MWh [2, unit]."""
    c2, c1, _ = system.cost.T
    ends = c1 + 2 * c2 * system.p_range.T
    for g in system.pointed:
        x, y = np.array(system.units[g].points, float).T
        slopes = np.diff(y) / np.diff(x)
        ends[:, g] += slopes[[0, -1]]
    return np.asarray(ends)


def check_voll(voll: float) -> None:
    """Refuse a value of lost load that is not a positive number of $/MWh.

    Parameters
    ----------
    voll : float $/MWh
        Finite and > 0.

    Raises
    ------
    ValueError
        `voll` is not finite or not > 0.
    """
    if not (np.isfinite(voll) and voll > 0):
        raise ValueError(f"The value of lost load voll is {voll} $/MWh; it must be finite and > 0 (10000 is usual).")


def _check(bid: Bid, system: System, voll: float) -> None:
    if bid.bus not in system.buses:
        raise ValueError(f"Bid {bid.name!r}: {unknown('bus', bid.bus, system.buses)}")
    if len(bid.mw) != system.hours:
        raise ValueError(
            f"Bid {bid.name!r} at bus {bid.bus!r} has {len(bid.mw)} hours, system {system.name!r} has {system.hours}; "
            "give one MW value per hour."
        )
    if bid.price is not None and (np.abs(bid.price) >= voll).any():
        worst = bid.price[np.abs(bid.price).argmax()]
        raise ValueError(
            f"Bid {bid.name!r} at bus {bid.bus!r} has a limit of {worst:g} $/MWh; it must lie between -{voll:g} and "
            f"{voll:g} $/MWh (voll). Leave the price out for demand that must be served."
        )
