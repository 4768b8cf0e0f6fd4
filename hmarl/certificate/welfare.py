"""Who gains and who loses: welfare of every party, against no peer trade and the competitive benchmark, and by home.

Welfare of a party is what it is paid less what it pays and what it costs it beside (wear, fuel), in $/day of all
replicas; only differences mean anything, since the worth of consumed energy is left out (it is the same everywhere).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmarl.benchmark import Idle
from hmarl.evaluation import play
from hmarl.pictures import picture
from hmarl.policies.base import Learner, Seen, Stateless
from hmarl.settlement import Settled, settle_days
from hmarl.world import World
from retail.auctions.none import NoAuction
from retail.game import Game
from retail.tariff import Tariff, to_ticks

Array = NDArray[np.float64]


class Follow(Stateless):
    """Homes that carry out given schedules.

    Parameters
    ----------
    game : Game
    days : Tensor [D] int64
        Days of the schedules.
    plan : Tensor [D, T, N] kWh
        Store changes, store side.
    """

    def __init__(self, game: Game, days: Tensor, plan: Tensor) -> None:
        self.game, self.plan, self.row = game, plan, {int(day): k for k, day in enumerate(days)}

    def act(self, seen: Seen, explore: bool) -> Tensor:
        """Ask for the schedule of the day.

        Parameters
        ----------
        seen : Seen
            State in kWh.
        explore : bool
            No difference.

        Returns
        -------
        Tensor [B, N, 1]
            Battery head; limit prices are truthful.
        """
        rows = [self.row[int(day)] for day in seen.state.days]
        return self.game.action_for(seen.state, self.plan[rows, seen.state.step]).unsqueeze(-1)


def account(settled: Settled, world: World) -> dict[str, float]:
    """Welfare of every party in $/day over all replicas, and their sum.

    Parameters
    ----------
    settled : Settled
        D days.
    world : World
        Replication and length of a step.

    Returns
    -------
    dict
        One entry per party, then ``total``; fuel is the generators' production cost in real time.
    """
    ledger, days = settled.ledger, len(settled.lmp)
    o, k = settled.played.outcome, world.meter.replication
    own = float((o.cost - o.bill - o.shortfall).sum())
    paid = float(int(ledger.nano[:, : ledger.prosumers].sum())) * 1e-9
    fuel = 0.0 if settled.real_time is None else float(settled.real_time.cost.sum()) * world.meter.step_hours
    found = {"prosumers": -(paid + k * own) / days}
    found |= {party: -ledger.total(party) / days for party in ledger.accounts[ledger.prosumers :]}
    found["generators"] -= fuel / days
    return found | {"total": sum(found.values())}


def without_peers(world: World, learner: Learner, tariff: Tariff, days: Tensor) -> Settled:
    """The same homes with the same policies where nobody trades with a neighbour.

    Parameters
    ----------
    world : World
    learner : Learner
        As it is.
    tariff : Tariff
        In force.
    days : Tensor [D] int64

    Returns
    -------
    Settled
    """
    alone = replace(world, game=replace(world.game, auction=NoAuction()))
    return settle_days(alone, play(alone.game, learner, days, tariff, world.arrival))


def competitive(world: World, days: Tensor, lmp_per_mwh: Array) -> Settled | None:
    """Everybody faces the wholesale price: homes pay LMP, network charge and levies, and plan together.

    Parameters
    ----------
    world : World
        With a wholesale market.
    days : Tensor [D] int64
    lmp_per_mwh : array [D, T] $/MWh
        Prices the plans rest on; the market then clears anew.

    Returns
    -------
    Settled or None
        None without a wholesale market, and where more than batteries is planned.
    """
    from aggregator.portfolio import BestResponse  # noqa: PLC0415  pyomo is slow to import

    if world.exchange is None or not _batteries_only(world.game):
        return None
    price = to_ticks(world.meter.to_per_kwh(lmp_per_mwh))
    network, levy = (to_ticks(x).expand(price.shape) for x in (world.rules.network, world.rules.levy))
    zero = torch.zeros_like(price)
    on_days = Tariff(price, network, levy, price, zero)
    pooled = not isinstance(world.game.auction, NoAuction)
    homes = BestResponse(picture(world.game, days, pooled=pooled)).solve(on_days.buy_price, on_days.sell_price)
    plan = torch.from_numpy(np.ascontiguousarray(np.swapaxes(homes.store_change, 1, 2)))
    parts = []
    for part in (price, network, levy, price, zero):
        every = part[:1].repeat(world.game.community.days, 1)
        every[days] = part
        parts.append(every)
    played = play(world.game, Follow(world.game, days, plan), days, Tariff(*parts), world.arrival)
    return settle_days(world, played)


def _batteries_only(game: Game) -> bool:
    """Whether the least cost is one of battery schedules of single days."""
    c = game.community
    return game.terminates and not c.timed and not c.thermal and game.peak is None and not game.curtail


def welfare(world: World, learner: Learner, tariff: Tariff, settled: Settled, best: Settled | None) -> dict[str, Any]:
    """The account of the run beside that without peer trade and the competitive one.

    Parameters
    ----------
    world : World
    learner : Learner
        Exploration off.
    tariff : Tariff
        In force.
    settled : Settled
        The judged days of the run.
    best : Settled or None
        ``competitive`` of these days.

    Returns
    -------
    dict
        Accounts and differences in $/day of all replicas. No case of this project has CO2 rates, so none is given.
    """
    days = settled.played.days
    here = account(settled, world)
    alone = account(without_peers(world, learner, tariff, days), world)
    told: dict[str, Any] = {
        "run": here,
        "no_peer_trade": alone,
        "less_no_peer_trade": {party: here[party] - alone[party] for party in here},
        "co2": "not computed: the case has no emission rates",
    }
    if best is None:
        return told | {
            "competitive": "not computed: it needs a wholesale market, days of their own and no device but batteries"
        }
    ideal = account(best, world)
    return told | {
        "competitive": ideal,
        "less_competitive": {party: here[party] - ideal[party] for party in here},
    }


def saving_share(world: World, tariff: Tariff, days: Tensor, cost: float, optimum: float) -> dict[str, float | None]:
    """Share of the possible saving that was achieved, between no trade and the community's optimum.

    Parameters
    ----------
    world : World
    tariff : Tariff
        In force.
    days : Tensor [D] int64
        Judged days.
    cost, optimum : float $/day
        Of the community in the run, and with perfect foresight.

    Returns
    -------
    dict
        ``no_trade_per_day`` is the cost with idle batteries and no neighbours; the share is None where nothing can be
        saved.
    """
    b = world.game.community.battery
    empty = replace(b, store_max=b.store_min, start=b.store_min)
    idle = replace(world.game, community=world.game.community.with_battery(empty), auction=NoAuction())
    nothing = float(play(idle, Idle(), days, tariff, world.arrival).cost.mean())
    room = nothing - optimum
    share = (nothing - cost) / room if room > 1e-6 * max(abs(nothing), 1.0) else None
    return {"no_trade_per_day": nothing, "community_optimum_per_day": optimum, "saving_ratio": share}


def gini(value: Array) -> float | None:
    """Gini coefficient; None where the mean is not positive and the coefficient means nothing.

    Parameters
    ----------
    value : array [N]

    Returns
    -------
    float or None
        Mean absolute difference of two homes over twice the mean.
    """
    mean = float(value.mean())
    if mean <= 0.0:
        return None
    ordered, n = np.sort(value), len(value)
    return float(((2 * np.arange(1, n + 1) - n - 1) @ ordered) / (n * n * mean))


def fairness(world: World, learner: Learner, settled: Settled) -> dict[str, Any]:
    """How costs are spread, and who pays more than the same home would at the default tariff.

    Parameters
    ----------
    world : World
        Its rules hold the default tariff; the same policies and auction meet it, on the same days.
    learner : Learner
        Exploration off.
    settled : Settled
        The judged days of the run.

    Returns
    -------
    dict
        By cluster: homes, winners, losers (by more than 0.001 $/day) and the mean change in $/day, + = pays more.
    """
    played = settled.played
    usual = play(world.game, learner, played.days, world.rules.default, world.arrival)
    here, there = (x.outcome.cost.sum(1).mean(0).numpy() for x in (played, usual))
    change, clusters = here - there, world.spec.clusters.numpy()

    def told(who: NDArray[np.bool_]) -> dict[str, float]:
        mine = change[who]
        return {
            "homes": int(who.sum()),
            "winners": int((mine < -1e-3).sum()),
            "losers": int((mine > 1e-3).sum()),
            "mean_change_per_day": float(mine.mean()),
            "largest_loss_per_day": float(max(mine.max(), 0.0)),
        }

    return {
        "gini_of_cost": gini(here),
        "gini_of_cost_at_default_tariff": gini(there),
        "against_default_tariff": told(np.ones(len(change), bool)),
        "by_cluster": {str(label): told(clusters == label) for label in np.unique(clusters)},
    }
