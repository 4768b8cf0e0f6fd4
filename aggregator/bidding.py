"""Day-ahead positions: from scenarios under imbalance prices and risk, in blocks, and against residual supply curves.

A position b of an hour costs w b day-ahead; the metered load y settles its deviation in real time. With one price r
the deviation costs r (y - b); with two prices the missing part costs at least w, the spare part earns at most w. Risk
is the conditional value at risk of the day's cost (Rockafellar and Uryasev, J. Risk 2(3), 2000).

A price maker sees the cost Phi(q) of the rest of the market at its bus, whose slope is the price it pays for all of q:
on piece k of the curve the bill is price_k q, so one binary per piece and hour makes the problem linear. Ends of pieces
are avoided by 1e-4 of their MW: there the market may publish either price.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from aggregator.gate import Gate, Risk
from aggregator.prosumers import Array
from aggregator.rules import LeaderError
from wholesale.residual import ResidualCurve
from wholesale.solve import Infeasible, Program

SHADE = 1e-4
MIP_GAP = 1e-6
NEARER = 1e-6  # $/kWh on deviations: of positions that cost the same, one near the scenarios


def positions(gate: Gate, style: str, risk: Risk, block_hours: float, shift: float) -> Array:
    """Positions of all days of a gate.

    Parameters
    ----------
    gate : Gate
    style : str
        One of ``aggregator.gate.STYLES``.
    risk : Risk
    block_hours : float h
    shift : float
        See ``Bids``.

    Returns
    -------
    array [D, T] kWh per step
        For one community, + = import.

    Raises
    ------
    LeaderError
        If the style needs prices or curves that the market does not have.
    """
    forecast = np.asarray(gate.forecast_kwh, dtype=np.float64)
    if gate.lmp_per_mwh is None:
        if style != "price-taker":
            raise LeaderError(f"Bid {style!r} needs a wholesale market; take bid: price-taker, or name one.")
        return forecast
    if style == "price-maker" and not gate.curves:
        raise LeaderError(
            "Bid 'price-maker' needs residual supply curves, which this market does not have (its hours are coupled or "
            "its prices given); take market dc-opf or merit-order, or bid: blocks."
        )
    steps = forecast.shape[1]
    width = max(1, round(block_hours / gate.meter.step_hours)) if style == "blocks" else 1
    blocks = np.arange(steps) // width
    found = np.empty_like(forecast)
    for d, expected in enumerate(forecast):
        scenarios = gate.scenarios_kwh[d] if gate.scenarios_kwh else expected[None]
        day_ahead = gate.meter.to_per_kwh(gate.lmp_per_mwh[d])
        real_time = gate.meter.to_per_kwh(_real_time(gate, d, scenarios))
        if style == "price-maker":
            found[d] = _moved(gate, expected, real_time.mean(axis=0), shift)
            continue
        short, long = real_time, real_time
        if gate.two_price:
            short, long = np.maximum(real_time, day_ahead), np.minimum(real_time, day_ahead)
        found[d] = scenario_position(scenarios, day_ahead, short, long, risk, blocks=blocks)
    return found


def _real_time(gate: Gate, day: int, scenarios: Array) -> Array:
    """Real-time price of each scenario, array [S, T] $/MWh: from the curve where there is one, else as day-ahead."""
    if not gate.curves:
        return np.broadcast_to(np.asarray(gate.lmp_per_mwh)[day], scenarios.shape)
    mw = gate.meter.to_mw(scenarios)
    return np.stack([curve.price_at(mw[:, t]) for t, curve in enumerate(gate.curves)], axis=1)


def _moved(gate: Gate, expected: Array, real_time: Array, shift: float) -> Array:
    mw = gate.meter.to_mw(expected)
    room = shift * np.abs(mw)
    found = price_maker(gate.curves, mw - room, mw + room, float(mw.sum()), resale=gate.meter.to_per_mwh(real_time))
    return gate.meter.to_kwh(found.mw)


def scenario_position(
    scenarios: Array,
    day_ahead: Array,
    short: Array,
    long: Array,
    risk: Risk,
    *,
    blocks: NDArray[np.intp] | None = None,
) -> Array:
    """Position with the least (1 - beta) mean + beta CVaR of the day's cost over equally likely scenarios.

    Parameters
    ----------
    scenarios : array [S, T] kWh
        Metered net loads, + = import.
    day_ahead : array [T] $/kWh
    short, long : array [S, T] or [T] $/kWh
        Paid for missing and earned for spare energy, ``short >= long``.
    risk : Risk
    blocks : array of int [T], optional
        Block of each step; the position is one number in each block. Default: every step alone.

    Returns
    -------
    array [T] kWh
        Between the smallest and the largest scenario of the block: deviating further is speculation, not hedging.

    Raises
    ------
    LeaderError
        If ``short`` is below ``long`` somewhere.
    """
    count, steps = scenarios.shape
    short, long = np.broadcast_to(short, scenarios.shape), np.broadcast_to(long, scenarios.shape)
    if (short < long).any():
        s, t = np.argwhere(short < long)[0].tolist()
        raise LeaderError(
            f"In scenario {s}, step {t} missing energy costs {short[s, t]:g} and spare energy earns {long[s, t]:g} "
            "$/kWh: deviating both ways would earn; give short >= long."
        )
    block = np.arange(steps) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    low = np.array([scenarios[:, block == k].min() for k in range(block.max() + 1)])
    high = np.array([scenarios[:, block == k].max() for k in range(block.max() + 1)])
    m = pyo.ConcreteModel("scenario bid")
    m.K, m.S, m.T = pyo.RangeSet(0, len(low) - 1), pyo.RangeSet(0, count - 1), pyo.RangeSet(0, steps - 1)
    m.position = pyo.Var(m.K, bounds=lambda _, k: (float(low[k]), float(high[k])))
    m.missing, m.spare = pyo.Var(m.S, m.T, domain=pyo.NonNegativeReals), pyo.Var(m.S, m.T, domain=pyo.NonNegativeReals)
    m.deviation = pyo.Constraint(
        m.S,
        m.T,
        rule=lambda _, s, t: m.missing[s, t] - m.spare[s, t] + m.position[int(block[t])] == float(scenarios[s, t]),
    )
    m.cost = pyo.Var(m.S)
    m.cost_is = pyo.Constraint(
        m.S,
        rule=lambda _, s: (
            m.cost[s]
            == sum(
                float(day_ahead[t]) * m.position[int(block[t])]
                + float(short[s, t]) * m.missing[s, t]
                - float(long[s, t]) * m.spare[s, t]
                for t in m.T
            )
        ),
    )
    m.goal = pyo.Objective(expr=_risky(m, [m.cost[s] for s in m.S], risk))
    program = Program.compile(m)
    return np.asarray(program.solve().x[program.columns(m.position)][block])


def _risky(m: Any, costs: list[Any], risk: Risk) -> Any:
    """(1 - beta) mean + beta CVaR of equally likely costs, with the variables and rows it takes."""
    mean = sum(costs) / len(costs)
    if risk.beta == 0.0:
        return mean
    m.threshold = pyo.Var()
    m.excess = pyo.Var(range(len(costs)), domain=pyo.NonNegativeReals)
    m.above = pyo.Constraint(range(len(costs)), rule=lambda _, s: m.excess[s] >= costs[s] - m.threshold)
    tail = m.threshold + sum(m.excess.values()) / ((1.0 - risk.alpha) * len(costs))
    return (1.0 - risk.beta) * mean + risk.beta * tail


def cvar(costs: Array, alpha: float) -> float:
    """Conditional value at risk of equally likely costs: the mean of the dearest 1 - alpha of them.

    Parameters
    ----------
    costs : array [S] $
    alpha : float
        In [0, 1).

    Returns
    -------
    float $
        A scenario on the edge of the tail counts with the part that belongs to it.
    """
    worst = np.sort(np.asarray(costs, dtype=np.float64))[::-1]
    tail = (1.0 - alpha) * len(worst)
    weight = np.clip(tail - np.arange(len(worst)), 0.0, 1.0)
    return float(weight @ worst / tail)


@dataclass(frozen=True, eq=False)
class PriceMakerBid:
    """A position against residual supply curves.

    Attributes
    ----------
    mw : array [T] MW
        + = withdrawal.
    bill : float $ per day at one-hour steps
        sum of price x MW at the prices that these MW make.
    price_taker, flat : array [T] MW
        What a price taker (cheapest hours at the prices of the flat position) and a flat buyer would take.
    bills : dict of str to float
        Their bills, each at the prices they make; a corner counts with its dearer price.
    """

    mw: Array
    bill: float
    price_taker: Array
    flat: Array
    bills: dict[str, float]


def price_maker(
    curves: tuple[ResidualCurve, ...], low: Array, high: Array, energy: float, *, resale: Array | None = None
) -> PriceMakerBid:
    """Position of least cost that covers a given energy, knowing what every MW does to its price.

    Parameters
    ----------
    curves : tuple of ResidualCurve
        Of the T hours; they cover ``low`` to ``high``.
    low, high : array [T] MW
        Limits of the position.
    energy : float MWh at one-hour steps
        Sum of the position.
    resale : array [T] $/MWh, optional
        Price at which each MW of the position will be worth something later (expected real-time price); default 0.

    Returns
    -------
    PriceMakerBid
        Never dearer than the price taker's and the flat position by the curves.

    Raises
    ------
    LeaderError
        If the limits do not allow the energy.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    worth = np.zeros(len(low)) if resale is None else np.asarray(resale, dtype=np.float64)
    room = 1e-9 * (1.0 + np.abs(low).sum() + np.abs(high).sum())
    if not low.sum() - room <= energy <= high.sum() + room:
        raise LeaderError(f"The position cannot sum to {energy:g}: its limits allow {low.sum():g} to {high.sum():g}.")
    flat = _level(low, high, energy)
    made = np.array([float(curve.price_at(q)) for curve, q in zip(curves, flat, strict=True)])
    taker = _cheapest(made - worth, low, high, energy)
    candidates = {"flat": flat, "price-taker": taker}
    with suppress(Infeasible):  # limits so tight that the energy is reached on a corner only
        candidates["price-maker"] = _milp(curves, low, high, energy, worth)
    bills = {name: bill(curves, mw) for name, mw in candidates.items()}
    best = min(candidates, key=lambda name: bills[name] - float(worth @ candidates[name]))
    return PriceMakerBid(candidates[best], bills[best], taker, flat, bills)


def bill(curves: tuple[ResidualCurve, ...], mw: Array) -> float:
    """What a position costs at the prices it makes; at a corner of the curve the dearer of both counts.

    Parameters
    ----------
    curves : tuple of ResidualCurve
        Of the T hours.
    mw : array [T] MW
        + = withdrawal.

    Returns
    -------
    float $ per day at one-hour steps
    """
    total = 0.0
    for curve, q in zip(curves, mw, strict=True):
        near = 0.5 * SHADE * max(abs(float(q)), 1.0)
        around = np.clip([q - near, q + near], curve.edges[0], curve.edges[-1])
        total += float((curve.price_at(around) * q).max())
    return total


def _milp(curves: tuple[ResidualCurve, ...], low: Array, high: Array, energy: float, worth: Array) -> Array:
    """One binary per hour and piece; pieces outside the limits are left out."""
    pieces = [(t, *piece) for t, curve in enumerate(curves) for piece in _pieces(curve, low[t], high[t])]
    hours: list[list[int]] = [[] for _ in curves]
    for j, (t, *_) in enumerate(pieces):
        hours[t].append(j)
    m = pyo.ConcreteModel("price maker")
    m.J, m.T = pyo.RangeSet(0, len(pieces) - 1), pyo.RangeSet(0, len(curves) - 1)
    m.mw = pyo.Var(m.J, bounds=lambda _, j: (min(pieces[j][1], 0.0), max(pieces[j][2], 0.0)))
    m.on = pyo.Var(m.J, domain=pyo.Binary)
    m.least = pyo.Constraint(m.J, rule=lambda _, j: m.mw[j] - pieces[j][1] * m.on[j] >= 0.0)
    m.most = pyo.Constraint(m.J, rule=lambda _, j: m.mw[j] - pieces[j][2] * m.on[j] <= 0.0)
    m.one = pyo.Constraint(m.T, rule=lambda _, t: sum(m.on[j] for j in hours[t]) == 1)
    m.energy = pyo.Constraint(expr=sum(m.mw[j] for j in m.J) == energy)
    m.bill = pyo.Objective(expr=sum((pieces[j][3] - float(worth[pieces[j][0]])) * m.mw[j] for j in m.J))
    program = Program.compile(m, mip_gap=MIP_GAP, node_limit=10_000)
    found = program.solve().x[program.columns(m.mw)]
    return np.array([found[js].sum() for js in hours])


def _pieces(curve: ResidualCurve, low: float, high: float) -> list[tuple[float, float, float]]:
    """Pieces [from, to, price] of a curve within limits, kept off their inner ends; never empty."""
    found = []
    for left, right, price in zip(curve.edges[:-1], curve.edges[1:], curve.price, strict=True):
        inner_left = left + SHADE * max(abs(left), 1.0) if left > curve.edges[0] else left
        inner_right = right - SHADE * max(abs(right), 1.0) if right < curve.edges[-1] else right
        start, end = max(inner_left, low), min(inner_right, high)
        if start <= end:
            found.append((float(start), float(end), float(price)))
    if not found:  # limits so narrow that they lie between two pieces
        middle = 0.5 * (low + high)
        price = curve.price_at(np.array([low, high])).max()
        found.append((float(middle), float(middle), float(price)))
    return found


def _level(low: Array, high: Array, energy: float) -> Array:
    """The flattest position with a given sum inside limits: one level, cut off at them, found by bisection."""
    down, up = float(low.min()), float(high.max())
    for _ in range(100):
        middle = 0.5 * (down + up)
        down, up = (down, middle) if np.clip(middle, low, high).sum() > energy else (middle, up)
    return np.asarray(np.clip(0.5 * (down + up), low, high))


def _cheapest(price: Array, low: Array, high: Array, energy: float) -> Array:
    """Fill the cheapest hours first."""
    mw, left = low.copy(), energy - float(low.sum())
    for t in np.argsort(price, kind="stable"):
        more = min(max(left, 0.0), float(high[t] - low[t]))
        mw[t] += more
        left -= more
    return mw
