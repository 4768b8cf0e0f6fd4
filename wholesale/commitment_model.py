"""Unit commitment in Pyomo: three binaries a unit and hour (on, start, stop).

Sources: Knueven, Ostrowski and Watson 2020 (doi 10.1287/ijoc.2019.0944) and the model description of PGLib-UC for rows
and conventions; Rajan and Takriti 2005 for minimum up and down times; Morales-Espana, Latorre and Ramos 2013
(doi 10.1109/TPWRS.2013.2251373) for start-up and shut-down capability; Garver 1962 for power above minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyomo.environ as pyo

from wholesale.bids import Book
from wholesale.network import Network
from wholesale.offers import Offers, piecewise
from wholesale.system import System, Unit


@dataclass(frozen=True, eq=False)
class Plant:
    """Units of a system, cut for the model.

    Attributes
    ----------
    system : System
        T hours.
    offer : Offers
        Pieces of the units that are always on (the others' pieces are not used).
    pieces : int
        Straight pieces a quadratic cost is cut into.
    """

    system: System
    offer: Offers
    pieces: int

    @cached_property
    def switched(self) -> tuple[int, ...]:
        """Positions of the units with commitment data."""
        return tuple(g for g, unit in enumerate(self.system.units) if unit.commitment is not None)

    @cached_property
    def steady(self) -> tuple[int, ...]:
        """Positions of the pieces of all other units."""
        return tuple(j for j, g in enumerate(self.offer.unit.tolist()) if g not in set(self.switched))

    @cached_property
    def curves(self) -> dict[int, tuple[float, np.ndarray, np.ndarray]]:
        """For each switched unit: $/h at p_min, widths (MW) and slopes ($/MWh) of the blocks above."""
        return {g: curve(self.system.units[g], self.pieces) for g in self.switched}


def curve(unit: Unit, pieces: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Cut the cost of a unit into straight blocks above its smallest output.

    Parameters
    ----------
    unit : Unit
        Its cost may have break points and a quadratic term.
    pieces : int
        Equal blocks for a quadratic term; break points are kept besides.

    Returns
    -------
    least : float
        $ per hour at p_min.
    width : ndarray [block]
        MW, all > 0.
    slope : ndarray [block]
        $/MWh, not falling.
    """
    c2, c1, c0 = unit.cost
    inner = [x for x, _ in unit.points if unit.p_min < x < unit.p_max]
    equal = np.linspace(unit.p_min, unit.p_max, (pieces if c2 else 1) + 1)
    x = np.unique(np.concatenate([equal, inner]))
    y = c2 * x**2 + c1 * x + c0 + piecewise(unit, x)
    width = np.diff(x)
    return float(y[0]), width, np.maximum.accumulate(np.diff(y) / width) if len(width) else np.zeros(0)


def build(plant: Plant, book: Book, net: Network | None, voll: float, shortfall: float) -> pyo.ConcreteModel:
    """Write the whole horizon.

    Parameters
    ----------
    plant : Plant
        Units, loads and reserve.
    book : Book
        Bids.
    net : Network or None
        Lines; None makes one zone of all buses.
    voll : float
        $/MWh for load shed and power thrown away.
    shortfall : float
        $ per MW and hour of reserve that is missing.

    Returns
    -------
    ConcreteModel
        Indices: g position of a switched unit, t hour, n bus (0 alone in one zone). Binaries `on`, `start`, `stop`
        [g, t], `kind` [g, s, t] where a unit has several start-up categories; MW variables `above` [g, t] p_min,
        `reserve` [g, t], `block` [g, l, t], `steady` [piece, t], `take` [bid, t], `flow` [line, t], `shed` and
        `surplus` [n, t], `short` [t]; rows `balance` [n, t] (MW) and `enough` [t] (reserve, MW); objective in $.
    """
    system = plant.system
    m: Any = pyo.ConcreteModel(f"unit commitment of {system.name}")
    m.t, m.g = pyo.RangeSet(0, system.hours - 1), pyo.Set(initialize=plant.switched, ordered=True)
    m.n = pyo.RangeSet(0, 0 if net is None else len(system.buses) - 1)
    m.on, m.start, m.stop = (pyo.Var(m.g, m.t, domain=pyo.Binary) for _ in range(3))
    m.above, m.reserve = (pyo.Var(m.g, m.t, bounds=(0, None)) for _ in range(2))
    for g in plant.switched:
        _switching(m, g, system)
    m.logic = pyo.Constraint(m.g, m.t, rule=lambda m, g, t: _logic(m, g, t, system.units[g]))
    cost = _starts(m, plant) + _blocks(m, plant)
    _limits(m, plant)
    _ramps(m, plant)
    cost += _balance(m, plant, book, net, voll)
    cost += _enough(m, system, shortfall)
    m.cost = pyo.Objective(expr=cost)
    return m


def _logic(m: Any, g: int, t: int, unit: Unit) -> Any:
    before = m.on[g, t - 1] if t else float(unit.commitment.was_on)  # type: ignore[union-attr]
    return m.on[g, t] - m.start[g, t] + m.stop[g, t] == before


def _switching(m: Any, g: int, system: System) -> None:
    """Fix hours that the past decides, and hours without the capacity for p_min."""
    unit, hours = system.units[g], system.hours
    c: Any = unit.commitment
    bound = c.min_up_h - c.before_h if c.was_on else c.min_down_h + c.before_h
    for t in range(hours):
        if t < bound:
            m.on[g, t].fix(int(c.was_on))
        elif system.p_ceiling_mw[t, g] < unit.p_min:
            m.on[g, t].fix(0)
        elif c.must_run:
            m.on[g, t].fix(1)


def _starts(m: Any, plant: Plant) -> Any:
    """Minimum up and down times, start-up categories; returns the cost of switching."""
    m.up, m.down, m.kinds, m.warm = (pyo.ConstraintList() for _ in range(4))
    many = [(g, s, t) for g in plant.switched for s in range(_categories(plant, g)) for t in m.t]
    m.kind = pyo.Var(pyo.Set(initialize=many, ordered=True), bounds=(0, 1))
    terms = []
    for g in plant.switched:
        c: Any = plant.system.units[g].commitment
        several = _categories(plant, g)
        for t in m.t:
            m.up.add(sum(m.start[g, i] for i in range(max(0, t - c.min_up_h + 1), t + 1)) <= m.on[g, t])
            m.down.add(sum(m.stop[g, i] for i in range(max(0, t - c.min_down_h + 1), t + 1)) <= 1 - m.on[g, t])
            if c.shutdown:
                terms.append(c.shutdown * m.stop[g, t])
            if not several:
                terms.append(c.startup[0][1] * m.start[g, t])
                continue
            m.kinds.add(m.start[g, t] == sum(m.kind[g, s, t] for s in range(several)))
            terms += [c.startup[s][1] * m.kind[g, s, t] for s in range(several)]
            off = t - c.before_h  # hours off if it has not run since the beginning
            for s in range(several - 1):
                least, most = c.startup[s][0], c.startup[s + 1][0]
                first = 1.0 if not c.was_on and off < most else 0.0
                stops = [m.stop[g, t - i] for i in range(least, most) if t - i >= 0]
                m.warm.add(m.kind[g, s, t] <= sum(stops) + first)
    return sum(terms)


def _categories(plant: Plant, g: int) -> int:
    startup = plant.system.units[g].commitment.startup  # type: ignore[union-attr]
    return len(startup) if len(startup) > 1 else 0


def _blocks(m: Any, plant: Plant) -> Any:
    """Output above minimum as a sum of blocks; returns the cost of running."""
    many = [(g, b, t) for g in plant.switched for b in range(len(plant.curves[g][1])) for t in m.t]
    m.block = pyo.Var(pyo.Set(initialize=many, ordered=True), bounds=(0, None))
    m.width = pyo.ConstraintList()
    for g, b, t in many:
        for limit in _width(m, plant, g, b, t):
            m.width.add(m.block[g, b, t] <= limit)
    m.sum = pyo.Constraint(
        m.g, m.t, rule=lambda m, g, t: m.above[g, t] == sum(m.block[g, b, t] for b in range(len(plant.curves[g][1])))
    )
    terms = []
    for g in plant.switched:
        least, _, slope = plant.curves[g]
        for t in m.t:
            terms.append(least * m.on[g, t])
            terms += [float(slope[b]) * m.block[g, b, t] for b in range(len(slope))]
    return sum(terms)


def _width(m: Any, plant: Plant, g: int, b: int, t: int) -> list[Any]:
    """Limits of a block: its width while on, and what start-up and shut-down limits leave of it at both ends of a run.

    Implied by the unit's capacity for whole numbers, but not for fractions: these rows bring the relaxation close.
    """
    unit, (_, width, _) = plant.system.units[g], plant.curves[g]
    c: Any = unit.commitment
    whole, edge = float(width[b]), unit.p_min + float(width[:b].sum())
    start, stop = (whole - min(max(end - edge, 0.0), whole) for end in (c.start_mw, c.stop_mw))
    ends = m.stop[g, t + 1] if t + 1 < plant.system.hours else 0.0
    on, first = whole * m.on[g, t], m.start[g, t]
    if c.min_up_h > 1:
        return [on - start * first - stop * ends]
    both = [on - start * first - max(stop - start, 0.0) * ends]
    return both if not stop else [*both, on - max(start - stop, 0.0) * first - stop * ends]


def _limits(m: Any, plant: Plant) -> None:
    """Capacity, less in the first and in the last hour of a run; reserve counts as output."""
    system, last = plant.system, plant.system.hours - 1
    m.capacity = pyo.ConstraintList()
    for g in plant.switched:
        unit = system.units[g]
        c: Any = unit.commitment
        for t in m.t:
            top = max(min(float(system.p_ceiling_mw[t, g]), unit.p_max), unit.p_min)
            start, stop = max(top - c.start_mw, 0.0), max(top - c.stop_mw, 0.0)
            output, room = m.above[g, t] + m.reserve[g, t], (top - unit.p_min) * m.on[g, t]
            ends = m.stop[g, t + 1] if t < last else 0.0
            if c.min_up_h > 1:  # a run is never one hour long, so only one of the two can apply
                m.capacity.add(output <= room - start * m.start[g, t] - stop * ends)
            else:
                m.capacity.add(output <= room - start * m.start[g, t] - max(stop - start, 0.0) * ends)
                m.capacity.add(output <= room - max(start - stop, 0.0) * m.start[g, t] - stop * ends)
        if c.was_on:
            before = (unit.p_max - unit.p_min) - max(unit.p_max - c.stop_mw, 0.0) * m.stop[g, 0]
            m.capacity.add(before >= max(c.before_mw - unit.p_min, 0.0))


def _ramps(m: Any, plant: Plant) -> None:
    m.ramp = pyo.ConstraintList()
    for g in plant.switched:
        unit = plant.system.units[g]
        c: Any = unit.commitment
        span, was = unit.p_max - unit.p_min, max(c.before_mw - unit.p_min, 0.0) if c.was_on else 0.0
        for t in m.t:
            before = m.above[g, t - 1] if t else was
            on_before = m.on[g, t - 1] if t else float(c.was_on)
            if c.ramp_up_mw < span:
                m.ramp.add(m.above[g, t] + m.reserve[g, t] - before <= c.ramp_up_mw * m.on[g, t])
            if c.ramp_down_mw < span:
                m.ramp.add(before - m.above[g, t] <= c.ramp_down_mw * on_before)


def _balance(m: Any, plant: Plant, book: Book, net: Network | None, voll: float) -> Any:
    """Balance of each bus (or of the zone) and lines; returns the cost of steady units, bids and slack."""
    system, offer = plant.system, plant.offer
    hours, bids = range(system.hours), range(len(book.bus))
    m.piece, m.bid = pyo.Set(initialize=plant.steady, ordered=True), pyo.RangeSet(0, len(book.bus) - 1)
    m.steady = pyo.Var(m.piece, m.t, bounds=lambda m, j, t: (float(offer.low[t, j]), float(offer.high[t, j])))
    m.take = pyo.Var(m.bid, m.t, bounds=lambda m, k, t: (float(book.lower[t, k]), float(book.upper[t, k])))
    m.shed, m.surplus = (pyo.Var(m.n, m.t, bounds=(0, None)) for _ in range(2))
    inflow: dict[tuple[int, int], list[Any]] = {(n, t): [m.shed[n, t], -m.surplus[n, t]] for n in m.n for t in hours}

    def at(bus: int) -> int:
        return 0 if net is None else int(bus)

    for t in hours:
        for g in plant.switched:
            inflow[at(system.unit_bus[g]), t] += [m.above[g, t], system.units[g].p_min * m.on[g, t]]
        for j in plant.steady:
            inflow[at(system.unit_bus[offer.unit[j]]), t].append(m.steady[j, t])
        for k in bids:
            inflow[at(book.bus[k]), t].append(-m.take[k, t])
    m.line = pyo.RangeSet(0, -1 if net is None else len(system.lines) - 1)
    m.flow = pyo.Var(m.line, m.t, bounds=lambda m, k, t: (float(net.low[k]), float(net.high[k])))  # type: ignore[union-attr]
    if net is not None:
        _lines(m, system, net, inflow)
    load = system.load.sum(axis=1, keepdims=True) if net is None else system.load
    m.balance = pyo.Constraint(m.n, m.t, rule=lambda m, n, t: sum(inflow[n, t]) == float(load[t, n]))
    cost = sum(float(offer.a[j]) * m.steady[j, t] for j in plant.steady for t in hours)
    cost -= sum(float(book.value[t, k]) * m.take[k, t] for k in bids for t in hours)
    return cost + voll * sum(m.shed[n, t] + m.surplus[n, t] for n in m.n for t in hours)


def _lines(m: Any, system: System, net: Network, inflow: dict[tuple[int, int], list[Any]]) -> None:
    m.theta = pyo.Var(m.n, m.t)  # rad x base_mva
    for t in m.t:
        m.theta[0, t].fix(0.0)
        for k, (near, far) in enumerate(system.line_ends.tolist()):
            inflow[near, t].append(-m.flow[k, t])
            inflow[far, t].append(m.flow[k, t])

    def ohm(m: Any, k: int, t: int) -> Any:
        near, far = system.line_ends[k].tolist()
        b = float(net.susceptance[k]) / system.base_mva
        return m.flow[k, t] - b * (m.theta[near, t] - m.theta[far, t]) == -float(net.shifted[k])

    m.ohm = pyo.Constraint(m.line, m.t, rule=ohm)


def _enough(m: Any, system: System, shortfall: float) -> Any:
    m.short = pyo.Var(m.t, bounds=(0, None))
    wanted = system.reserve_mw
    m.enough = pyo.Constraint(m.t, rule=lambda m, t: sum(m.reserve[g, t] for g in m.g) + m.short[t] >= float(wanted[t]))
    return shortfall * sum(m.short[t] for t in m.t)
