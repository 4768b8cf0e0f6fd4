"""Conformance of a pricing strategy, checked on random views."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from hmarl.contracts.error import ContractError

if TYPE_CHECKING:
    from aggregator.leader import Leader, Offer, TariffRules, View
    from aggregator.trials import Trial
    from retail.tariff import Tariff


def check_leader(leader: Leader, *, views: int = 12, seed: int = 0) -> None:
    """Check that a leader keeps the contract of every pricing strategy.

    On random views (cap, ramp, fee, linear and quadratic followers, negative wholesale prices): the offer names a
    declared information set; its tariff is admissible, has the given charges, fee and feed-in price, and fits the
    steps; the promise is what the tariff earns in the leader's picture if ties fall against the leader, and never above
    its bound; the same view gives the same offer and is left untouched; a second round with a delivered
    profit works; the day-ahead position has the shape of the forecast and is finite. Rules that contradict themselves
    are refused with a sentence.

    Parameters
    ----------
    leader : Leader
        A frozen dataclass with ``information``, ``offer`` and ``position``. A class attribute ``constant = True`` says
        that its tariff is given from outside and need not be admissible. A leader that promises for fewer scenario days
        than the view has is checked on views it uses in full (at most 3 days).
    views : int
        So many random views.
    seed : int
        Of the random views.

    Raises
    ------
    ContractError
        At the first breach, with a sentence.
    """
    from aggregator.gate import INFORMATION  # noqa: PLC0415
    from aggregator.trials import broken_rules, random_views  # noqa: PLC0415

    name = type(leader).__name__
    if not (dataclasses.is_dataclass(leader) and type(leader).__dataclass_params__.frozen):
        raise ContractError(f"{name} is no frozen dataclass.")
    if leader.information not in INFORMATION:
        raise ContractError(f"{name} declares information {leader.information!r}, not one of {', '.join(INFORMATION)}.")
    view = None
    for trial in random_views(views, seed):
        view = trial.view
        first, second = leader.offer(view), leader.offer(view)
        _check_offer(leader, trial, first)
        same = all(bool((x == y).all()) for x, y in zip(_parts(first.tariff), _parts(second.tariff), strict=True))
        if not same or first.promised != second.promised:
            raise ContractError(f"{name}, {trial.name}: the same view gives another offer the second time.")
        delivered = 0.9 * (first.promised or 0.0)
        later = dataclasses.replace(view, round=1, last=first, profit=delivered)
        _check_offer(leader, dataclasses.replace(trial, name=f"{trial.name}, round 1"), leader.offer(later))
        _check_position(leader, trial, first)
    for what, rules in broken_rules():
        small = None if view is None else _over(view, rules)
        if small is None:
            break
        try:
            leader.offer(small)
        except ValueError as error:
            if len(str(error).split()) > 6:
                continue
            raise ContractError(f"{name} refuses {what} without a sentence: {error}") from error
        raise ContractError(f"{name} accepts {what}.")


def _check_offer(leader: Leader, trial: Trial, offer: Offer) -> None:
    from aggregator.promise import promise, ties  # noqa: PLC0415

    view, rules = trial.view, trial.view.rules

    def require(holds: bool, what: str) -> None:
        if not holds:
            raise ContractError(f"{type(leader).__name__}, {trial.name}: {what}.")

    require(offer.information == leader.information, f"the offer says information {offer.information!r}")
    require(offer.tariff.steps == rules.steps, f"the tariff has {offer.tariff.steps} steps, not {rules.steps}")
    if not getattr(leader, "constant", False):
        broken = rules.admissible(offer.tariff.buy_price)
        require(not broken, f"the tariff breaks the rules: {' '.join(broken)}")
        given = rules.tariff(rules.price_set().high)
        for part in ("network", "levy", "sell", "fee"):
            same = bool((getattr(offer.tariff, part) == getattr(given, part)).all())
            require(same, f"the tariff changes {part}, which is given")
    if offer.promised is None:
        require(getattr(leader, "constant", False), "nothing is promised")
        return
    earns, reach = promise(view, offer.tariff), ties(view, offer.tariff)
    require(earns is not None, "a profit is promised for days that are not the scenario days")
    room = 1e-6 * (1.0 + abs(offer.promised))
    least = min(earns or 0.0, reach.worst if reach is not None else 0.0)
    said = f"{offer.promised:g} is promised, {least:g} earned if ties fall against the leader"
    require(abs(offer.promised - least) <= room, said)
    if offer.bound is not None:
        require(
            offer.promised <= offer.bound + room, f"the promise {offer.promised:g} is above its bound {offer.bound:g}"
        )
    low, high = offer.worst_tie, offer.best_tie
    if low is not None and high is not None:
        inside = low - room <= offer.promised <= high + room
        require(inside, f"the promise {offer.promised:g} is outside its range over ties, {low:g} to {high:g}")


def _check_position(leader: Leader, trial: Trial, offer: Offer) -> None:
    from aggregator.gate import Gate  # noqa: PLC0415

    forecast = trial.view.portfolio.fixed_kwh.sum(axis=1)
    before = forecast.copy()
    bought = leader.position(Gate(forecast, meter=trial.view.meter, shares=offer.shares))
    if np.shape(bought) != forecast.shape or not np.isfinite(bought).all():
        raise ContractError(
            f"{type(leader).__name__}, {trial.name}: the position is not a finite [D, T] like the forecast."
        )
    if not (forecast == before).all():
        raise ContractError(f"{type(leader).__name__}, {trial.name}: position changes the forecast it was given.")


def _over(view: View, rules: TariffRules) -> View:
    """A view with other rules, cut to their steps."""
    fixed = view.portfolio.fixed_kwh[:, :, : rules.steps]
    followers = view.portfolio.change(fixed_kwh=fixed)
    return dataclasses.replace(view, rules=rules, portfolio=followers, lmp_per_mwh=view.lmp_per_mwh[:, : rules.steps])


def _parts(tariff: Tariff) -> tuple[Tensor, ...]:
    return tariff.energy, tariff.network, tariff.levy, tariff.sell, tariff.fee
