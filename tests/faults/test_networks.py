"""Random networks, sound and broken: refused with sentences, or cleared at another formulation's optimum."""

import numpy as np
import pytest
from faults.effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from wholesale import Bid, Line, System, SystemInvalid, Unit, market
from wholesale.network import network
from wholesale.solve import SolverError

VOLL = 10_000.0
ODD = [0.0, -1.0, 1e-9, 1e6, 1e12, float("nan"), float("inf"), -float("inf")]


def drawn(seed, spoiled):
    """A random system of 1 to 8 buses; where spoiled, with one number or name that is odd."""
    rng = np.random.default_rng(seed)
    n, hours = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    buses = tuple(f"b{i}" for i in range(n))
    ends = [(int(rng.integers(i)), i) for i in range(1, n)]  # a tree, then more
    ends += [tuple(rng.choice(n, 2, replace=False)) for _ in range(int(rng.integers(0, n)) if n > 1 else 0)]
    lines = [
        {"name": f"l{k}", "from_bus": buses[a], "to_bus": buses[b], "x": float(rng.uniform(0.01, 0.4)),
         "rate_mw": float(rng.choice([np.inf, 0.0, 20.0, 80.0, 200.0])), "tap": float(rng.choice([1.0, 1.0, 0.95])),
         "shift_deg": float(rng.choice([0.0, 0.0, 0.0, 2.0]))}
        for k, (a, b) in enumerate(ends)
    ]  # fmt: skip
    units = [
        {"name": f"g{g}", "bus": str(rng.choice(buses)), "p_min": float(rng.choice([0.0, 0.0, 10.0, -5.0])),
         "p_max": float(rng.choice([0.0, 30.0, 100.0, 300.0])) + 10.0,
         "cost": (0.0, float(rng.choice([0.0, 10.0, 10.0, 25.0, -3.0, 40.0])), 0.0)}
        for g in range(int(rng.integers(0, 6)))
    ]  # fmt: skip
    loads = rng.uniform(-10, 120, (hours, n)) * (rng.random((hours, n)) > 0.3)
    if spoiled:
        part = rng.choice([*lines, *units, {"loads": 0}])
        key = str(rng.choice(list(part)))
        value = float(rng.choice(ODD))
        if key == "loads":
            loads[0, 0] = value
        elif isinstance(part[key], str):
            part[key] = str(rng.choice(["", "nowhere", "b0", "g0"]))
        elif key == "cost":
            part[key] = (float(rng.choice(ODD)), value, 0.0)
        else:
            part[key] = value
    bids = []
    for _ in range(int(rng.integers(0, 3))):
        price = rng.uniform(0, 50, hours) if rng.random() < 0.7 else None
        bids.append(Bid(str(rng.choice(buses)), rng.uniform(-30, 30, hours), price))
    return (
        System("drawn", buses, [Unit(**u) for u in units], [Line(**one) for one in lines], loads),
        bids,
    )


def least_cost(system, bids, t):
    """The same hour as one plain program in angles for another interface: $ per hour, penalties included."""
    net, n, g = network(system, "matpower"), len(system.buses), len(system.units)
    where = {bus: i for i, bus in enumerate(system.buses)}
    k, b = len(system.lines), len(bids)
    width = g + b + k + 3 * n  # output, taken, flow, angle, shed, surplus
    take, flow, angle, shed, surplus = g, g + b, g + b + k, g + b + k + n, g + b + k + 2 * n
    cost, low, high = np.zeros(width), np.zeros(width), np.zeros(width)
    low[:g], high[:g] = system.p_floor_mw[t], system.p_ceiling_mw[t]
    cost[:g] = system.cost[:, 1]
    withdrawn, injected = np.maximum(system.load[t], 0.0), np.maximum(-system.load[t], 0.0)
    for j, bid in enumerate(bids):
        mw = bid.mw[t]
        elastic = bid.price is not None
        low[take + j] = min(mw, 0.0) if elastic else mw
        high[take + j] = max(mw, 0.0) if elastic else mw
        cost[take + j] = -bid.price[t] if elastic else 0.0
        if not elastic:  # elastic bids are simply not accepted
            (withdrawn if mw > 0 else injected)[where[bid.bus]] += abs(mw)
    low[flow:angle], high[flow:angle] = net.low, net.high
    low[angle + 1 : shed], high[angle + 1 : shed] = -np.inf, np.inf
    high[shed:surplus], high[surplus:] = withdrawn, injected
    for i, unit in enumerate(system.units):
        high[surplus + where[unit.bus]] += max(system.p_ceiling_mw[t, i], 0.0)
    cost[shed:] = VOLL
    rows, right = np.zeros((n + k, width)), np.concatenate([system.load[t], -net.shifted])
    for i, unit in enumerate(system.units):
        rows[where[unit.bus], i] += 1
    for j, bid in enumerate(bids):
        rows[where[bid.bus], take + j] -= 1
    for e, (near, far) in enumerate(system.line_ends):
        rows[near, flow + e] -= 1
        rows[far, flow + e] += 1
        rows[n + e, flow + e] = 1
        per_unit = net.susceptance[e] / system.base_mva
        rows[n + e, angle + near], rows[n + e, angle + far] = -per_unit, per_unit
    rows[np.arange(n), shed + np.arange(n)] = 1
    rows[np.arange(n), surplus + np.arange(n)] = -1
    found = linprog(cost, A_eq=rows, b_eq=right, bounds=np.stack([low, high], 1), method="highs-ds")
    return found.fun if found.status == 0 else None


@settings(max_examples=examples(40, 1200))
@given(st.integers(0, 2**32), st.booleans())
def test_is_refused_or_cleared_at_the_optimum(tried, seed, spoiled):
    tried("random networks")
    try:
        system, bids = drawn(seed, spoiled)
    except SystemInvalid as error:
        assert spoiled
        assert error.mistakes
        return
    for name in ("dc-opf", "merit-order"):
        try:
            clearing = market(name).clear(system, bids)
        except (SolverError, ValueError) as error:
            assert len(str(error).split()) > 5
            assert name == "dc-opf" or spoiled or "merit order" in str(error)
            if name == "dc-opf" and not spoiled:
                assert any(least_cost(system, bids, t) is None for t in range(system.hours))
            continue
        supplied = clearing.dispatch.sum(1) - clearing.accepted.sum(1) + clearing.shed.sum(1) - clearing.surplus.sum(1)
        scale = 1.0 + np.abs(system.load).sum(1) + np.abs(clearing.dispatch).sum(1)
        assert (np.abs(supplied - clearing.load.sum(1)) <= 1e-6 * scale).all()
        assert np.isfinite(clearing.lmp).all()
        if name == "merit-order" or not np.isfinite(system.cost).all() or system.cost[:, 0].any():
            continue
        for t in range(system.hours):
            worth = sum(
                c * (0.0 if b.price is None else b.price[t]) for c, b in zip(clearing.accepted[t], bids, strict=True)
            )
            reached = clearing.cost[t] - worth + VOLL * (clearing.shed[t].sum() + clearing.surplus[t].sum())
            best = least_cost(system, bids, t)
            assert best is None or reached == pytest.approx(best, rel=1e-6, abs=1e-3 * scale[t])
