"""The Stackelberg leader: the tariff that earns most when the followers answer with their own optimum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from aggregator.bilevel import SingleLevel, SingleLevelModel, count_binaries
from aggregator.bound import DecoupledBound, decoupled_bound
from aggregator.leader import Bids, LeaderError, Offer, TariffRules, View
from aggregator.leaders.wishes import familiar
from aggregator.portfolio import BestResponse
from aggregator.price_set import PriceSet
from aggregator.promise import against, promise, seal
from aggregator.prosumers import Array
from retail.tariff import Tariff
from wholesale.solve import SolverError

METHODS = ("auto", "bound", "kkt")
MOST_BINARIES = 600
SHARES = (0.002, 0.01, 0.03)


@dataclass(frozen=True)
class Stackelberg(Bids):
    """Price from the decoupled bound, and from the exact single-level MILP where that is small.

    Parameters
    ----------
    average_cap : float or None $/kWh
        Largest mean buy price over the day; the tighter of this and the rules' own cap holds.
    ceiling : float or None $/kWh
        One ceiling for all steps in place of the rules' ceiling.
    method : str
        ``"bound"``, ``"kkt"`` or ``"auto"``: kkt up to 600 binaries (2 per meter and 6 per store, step and day).
    scenarios : int
        Scenario days used, evenly spaced over those of the view.
    regularisation : float $/kWh^2
        Quadratic wear that every store has at least in the search for the price, so that responses are unique. The
        promise is made with the followers as they are.
    mip_gap : float
        Relative gap of the MILP.
    node_limit : int
        Nodes of the MILP.
    cuts : int
        Best responses of the bound.
    tolerance : float
        Relative gap at which the bound stops.
    information, bid, risk, block_hours, shift
        See ``Bids``.

    Raises
    ------
    LeaderError
        If a parameter is outside its range; all mistakes at once.
    """

    name: ClassVar[str] = "stackelberg"

    average_cap: float | None = None
    ceiling: float | None = None
    method: str = "auto"
    scenarios: int = 7
    regularisation: float = 0.03
    mip_gap: float = 5e-3
    node_limit: int = 500
    cuts: int = 60
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        mistakes = [] if self.method in METHODS else [f"method is {self.method!r}; give one of {', '.join(METHODS)}."]
        for name, least in (
            ("scenarios", 1),
            ("cuts", 1),
            ("tolerance", 0.0),
            ("node_limit", 1),
            ("regularisation", 0.0),
            ("mip_gap", 0.0),
        ):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= least):
                mistakes.append(f"{name} is {value!r}; give a number >= {least}.")
        for name in ("average_cap", "ceiling"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value):
                mistakes.append(f"{name} is {value!r}; give $/kWh or leave it out.")
        self.check(mistakes)

    def rules(self, rules: TariffRules) -> TariffRules:
        """The rules with this leader's own cap and ceiling.

        Parameters
        ----------
        rules : TariffRules

        Returns
        -------
        TariffRules
        """
        caps = [cap for cap in (rules.average_cap, self.average_cap) if cap is not None]
        ceiling = rules.ceiling if self.ceiling is None else np.full(rules.steps, self.ceiling)
        return replace(rules, average_cap=min(caps) if caps else None, ceiling=ceiling)

    def offer(self, view: View) -> Offer:
        """Offer the best price found, with the promise, the certified bound and the gap between them.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
            ``bound`` is None where negative prices leave it uncertified (see ``DecoupledBound.certified``).
        """
        rules = self.rules(view.rules)
        prices = rules.price_set()
        scene = replace(view, rules=rules).thinned(self.scenarios)
        own = BestResponse(scene.portfolio)
        bent = scene.portfolio.bent(self.regularisation)
        changed = bent is not scene.portfolio
        picture = BestResponse(bent) if changed else own

        found = self._bound(picture, scene, prices)
        certificate = self._bound(own, scene, prices) if changed else found
        candidates = {"decoupled bound": found.price, "best price tried for the bound": found.best_price}
        candidates |= {"certificate's best price": certificate.best_price} if changed else {}
        candidates |= familiar(scene)
        exact, note = self._exact(picture, scene, prices, found)
        candidates |= {} if exact is None else {"exact model": exact.price}
        bound = certificate.value if certificate.certified else None
        if bound is not None and exact is not None and not changed and not exact.audit:
            bound = min(bound, exact.bound)
        gap = None if exact is None else (exact.bound - exact.promised) / max(abs(exact.promised), 1e-12)
        note = f"{scene.portfolio.days} scenario days{note}"
        return self._choose(scene, prices, candidates, own, bound, gap, note)

    def _bound(self, followers: BestResponse, view: View, prices: PriceSet) -> DecoupledBound:
        rules = view.rules
        return decoupled_bound(
            followers,
            prices,
            sell=rules.sell,
            charges=rules.network + rules.levy,
            wholesale=view.wholesale_price,
            cuts=self.cuts,
            tolerance=self.tolerance,
        )

    def _exact(
        self, followers: BestResponse, view: View, prices: PriceSet, found: DecoupledBound
    ) -> tuple[SingleLevel | None, str]:
        """Result of the exact model if it is used, and what to say about it."""
        binaries = count_binaries(followers)
        reasons = [f"{binaries} binaries"] if binaries > MOST_BINARIES else []
        reasons += ["peer-to-peer fee"] * (followers.portfolio.pooled and followers.portfolio.fee > 0.0)
        reasons += ["peak price"] * any(pool.peak is not None for pool in followers.pools)
        if self.method == "bound" or (self.method == "auto" and reasons):
            return None, f"; exact model left out ({', '.join(reasons)})" if self.method == "auto" else ""
        rules = view.rules
        model = SingleLevelModel(
            followers,
            prices,
            sell=rules.sell,
            charges=rules.network + rules.levy,
            wholesale=view.wholesale_price,
            mip_gap=self.mip_gap,
            node_limit=self.node_limit,
        )
        try:
            result = model.solve(start=prices.clip(found.best_price))
        except SolverError as error:
            return None, f"; exact model gave no price ({error})"
        warning = f"; {len(result.audit)} multipliers at their limits" if result.audit else ""
        note = f"; exact model: {binaries} binaries, {result.status}{warning}"
        return result, note

    def _choose(
        self,
        view: View,
        prices: PriceSet,
        candidates: dict[str, Array],
        followers: BestResponse,
        bound: float | None,
        mip_gap: float | None,
        note: str,
    ) -> Offer:
        """The candidate that earns most if ties fall against the leader."""
        best: tuple[float, str, Tariff] | None = None
        for name, wish in [*candidates.items(), *self._without_ties(view, candidates)]:
            tariff = view.rules.tariff(prices.clip(wish))
            least = against(view, tariff, followers) if not view.portfolio.unique else promise(view, tariff)
            if least is not None and (best is None or least > best[0]):
                best = (least, name, tariff)
        if best is None:
            raise LeaderError("No candidate price could be evaluated; check the scenario days of the view.")
        _, name, tariff = best
        uncertain = "" if bound is not None else "; no bound: negative prices would pay for wasting energy"
        method = f"price of the {name}; {note}{uncertain}"
        return seal(view, Offer(self.name, self.information, tariff, None, bound, None, method, mip_gap))

    @staticmethod
    def _without_ties(view: View, candidates: dict[str, Array]) -> Iterator[tuple[str, Array]]:
        """Candidates drawn a little towards the leader's own cost, so that ties of the followers fall for it.

        On its set of best answers a follower's bill and own cost are constant, so the leader earns most where own cost
        and wholesale cost are least: what a follower with a small share of these prices in its own prefers.
        """
        if view.portfolio.unique:
            return
        cost = view.wholesale_price.mean(axis=0) + view.rules.network + view.rules.levy
        for name, wish in candidates.items():
            for share in SHARES:
                yield f"{name}, {share:.1%} nearer to cost", (1.0 - share) * wish + share * cost
