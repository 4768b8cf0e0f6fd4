"""The certificate of a run: how close to an equilibrium it is, what was checked, and what nobody can say."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hmarl.benchmark import community_optimum
from hmarl.certificate.exploitability import exploitability, uncovered
from hmarl.certificate.leader_gap import SIZES, global_gap, local_gap
from hmarl.certificate.market_power import market_power
from hmarl.certificate.welfare import competitive, fairness, saving_share, welfare
from hmarl.equilibrium.iterate import Iterate
from hmarl.policies.base import Learner
from hmarl.settlement import Settled, settle_days
from hmarl.world import World
from retail.state import combine

NANO = 1e-9


def certify(world: World, learner: Learner, last: Iterate, judged: Settled) -> dict[str, Any]:
    """Everything that the end of a run proves or estimates.

    Parameters
    ----------
    world : World
        One arm and seed.
    learner : Learner
        The followers, as the run left them.
    last : Iterate
        The end of the run.
    judged : Settled
        The judged days.

    Returns
    -------
    dict
        Plain values for ``certificate.json``; $/day of one community unless a key says otherwise.
    """
    option = world.arm.equilibrium.certificate
    days, tariff = judged.played.days, last.tariff
    cost = float(judged.played.cost.mean())
    optimum = float(community_optimum(world.game, days, tariff).mean())
    checks = invariants(world, judged, optimum)
    found = {
        "saving": saving_share(world, tariff, days, cost, optimum),
        "invariants": checks,
        "invariants_hold": all(one["holds"] for one in checks.values()),
        "ledger_sums_to_zero": checks["ledger_rows_sum_to_zero_nano"]["holds"],
    }
    if option == "none":
        return last.certificate | {"size": {"option": option}} | found
    size = SIZES[option]
    why = uncovered(world.game, tariff)
    follower = f"not computed: {why}" if why else exploitability(world, learner, tariff, days, size).summary()
    ideal = competitive(world, days, judged.real_time_lmp)
    gaps = {
        "size": {"option": option, **dataclasses.asdict(size)},
        "leader_gap": {"local": local_gap(world, last, size), "global": global_gap(world, last, size)},
        "follower_exploitability": follower,
        "welfare": welfare(world, learner, tariff, judged, ideal),
        "market_power": market_power(world, judged, ideal),
        "fairness": fairness(world, learner, judged),
    }
    return last.certificate | gaps | found


def invariants(world: World, settled: Settled, optimum: float | None = None) -> dict[str, dict[str, Any]]:
    """Hold the books, the physics and the solvers against themselves.

    Parameters
    ----------
    world : World
    settled : Settled
        D days.
    optimum : float, optional
        Mean cost of the community's perfect-foresight optimum on these days, $/day.

    Returns
    -------
    dict
        Name -> residual, tolerance and whether it holds. Money in nano-currency must be exact.
    """
    from aggregator.ledger import PARTS  # noqa: PLC0415  pyomo is slow to import

    o, ledger, c = settled.played.outcome, settled.ledger, world.game.community
    trade, cash = o.trade_wh.numpy(), o.trade_cash.numpy()
    balance = (o.net - o.trade_wh.double() / 1000 - o.grid).abs().max()
    stored, b = settled.played.stored, c.battery
    outside = torch.maximum(b.store_min - stored, stored - b.store_max).max()
    parts = sum(getattr(ledger, name) for name in PARTS)
    bill = (o.bill + o.shortfall).flatten(0, 1).numpy()
    homes = ledger.nano[:, : ledger.prosumers]
    own = ledger.wholesale_day_ahead + ledger.wholesale_real_time - ledger.retail_revenue
    leader = ledger.nano[:, ledger.accounts.index("aggregator")]
    found = {
        "ledger_rows_sum_to_zero_nano": (_largest(ledger.nano.sum(axis=1)), 0.0),
        "prosumers_accounts_are_their_parts_nano": (_largest(homes - ledger.replication * parts), 0.0),
        "aggregators_account_is_its_parts_nano": (_largest(leader - own), 0.0),
        "peer_payments_are_those_of_the_auction_nano": (_largest(ledger.peer - cash.reshape(ledger.peer.shape)), 0.0),
        "bills_of_game_and_ledger": (float(np.abs(bill - ledger.paid * NANO).max()), 1e-8),
        "peer_energy_sums_to_zero_wh": (_largest(trade.sum(axis=-1)), 0.0),
        "peer_cash_sums_to_zero_nano": (_largest(cash.sum(axis=-1)), 0.0),
        "meter_balance_kwh": (float(balance), 1e-9),
        "stores_within_limits_kwh": (float(outside.clamp(min=0)), 1e-9),
    }
    if settled.real_time is not None:
        market = settled.real_time
        left = market.dispatch.sum(1) - market.accepted.sum(1) + market.shed.sum(1) - market.surplus.sum(1)
        metered = world.meter.to_mw(settled.played.net.numpy().reshape(-1))
        scale = max(float(np.abs(market.load).sum(1).max()), 1.0)
        if len(market.units):
            found["power_balance_mw"] = (float(np.abs(left - market.load.sum(1)).max()), 1e-6 * scale)
        found["market_saw_the_meters_mw"] = (float(np.abs(market.accepted.sum(1) - metered).max()), 1e-6 * scale)
    if optimum is not None:
        cost = float(settled.played.cost.mean())
        found["not_cheaper_than_the_optimum"] = (max(optimum - cost, 0.0), 1e-4 * max(abs(optimum), 1.0))
    return {name: {"residual": r, "tolerance": t, "holds": bool(r <= t)} for name, (r, t) in found.items()}


def _largest(value: NDArray[Any]) -> float:
    return float(np.abs(value).max(initial=0))


def judged_only(
    world: World, settled: Settled, rows: NDArray[np.int64], shares: NDArray[np.float64] | None = None
) -> Settled:
    """The judged days settled by themselves, so that they compare with other worlds settled on the same days.

    Parameters
    ----------
    world : World
    settled : Settled
        Training and judged days.
    rows : array of int
        Positions of the judged ones.
    shares : array [T], optional
        What the offer in force buys day-ahead, as a share of the forecast.

    Returns
    -------
    Settled
        The same played days; the forecast at gate closure knows these days only.
    """
    index, p = torch.from_numpy(rows), settled.played
    outcome = combine([p.outcome], lambda parts: parts[0][index])
    return settle_days(world, type(p)(p.days[index], p.tariff[index], outcome, p.stored[index]), shares)
