"""Derivative-free search: the tariff that earned most of those tried, on the leader's picture or in the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from aggregator.leader import Bids, Offer, View
from aggregator.leaders.wishes import familiar
from aggregator.portfolio import BestResponse
from aggregator.price_set import PriceSet
from aggregator.promise import profit_by_day, seal
from aggregator.prosumers import Array
from retail.streams import stream

GROW, SHRINK = 1.5, 1.5**-0.25
FINEST = 1e-4


@dataclass(frozen=True)
class Search(Bids):
    """Search with an evolution strategy (1+1): keep the best price, try it with some hours moved, adapt the step.

    The step grows after a success and shrinks after a failure, in balance at one success in five (Rechenberg 1973).

    Parameters
    ----------
    on : str
        ``"picture"``: all trials at once on the leader's picture of the followers. ``"simulation"``: one trial in each
        round of the coordinator, judged by the settled profit, the budget every other leader has too.
    trials : int
        Best responses on the picture; the default is that of the bound of leader ``stackelberg``.
    step : float $/kWh
        First standard deviation of a moved price, > 0.
    scenarios : int
        Scenario days used, evenly spaced over those of the view.
    information, bid, risk, block_hours, shift
        See ``Bids``.

    Raises
    ------
    LeaderError
        If a parameter is outside its range; all mistakes at once.
    """

    name: ClassVar[str] = "search"

    on: Literal["picture", "simulation"] = "picture"
    trials: int = 60
    step: float = 0.03
    scenarios: int = 7

    def __post_init__(self) -> None:
        mistakes = [] if self.on in ("picture", "simulation") else [f"on is {self.on!r}; give picture or simulation."]
        counts = {name: getattr(self, name) for name in ("trials", "scenarios")}
        mistakes += [f"{name} is {value!r}; give a whole number >= 1." for name, value in counts.items() if value < 1]
        if not (np.isfinite(self.step) and self.step > 0.0):
            mistakes.append(f"step is {self.step!r}; give $/kWh > 0, such as 0.03.")
        self.check(mistakes)

    def offer(self, view: View) -> Offer:
        """Offer the best price tried, or, in the simulation, the next one to try.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
            ``state`` remembers the best price, its profit and the step.
        """
        prices = view.rules.price_set()
        scene = view.thinned(self.scenarios)
        rng = stream(view.seed, f"leader search {view.round}")
        if self.on == "simulation":
            price, state = self._next(view, prices, rng)
            method = f"evolution strategy on settled profits, trial {state['trial']}, one a round"
        else:
            price, state = self._searched(scene, prices, rng)
            method = f"evolution strategy, best of {self.trials} best responses on {scene.portfolio.days} scenario days"
        return seal(
            scene, Offer(self.name, self.information, view.rules.tariff(price), None, method=method, state=state)
        )

    def _searched(self, view: View, prices: PriceSet, rng: np.random.Generator) -> tuple[Array, dict[str, Any]]:
        followers, rules = BestResponse(view.portfolio), view.rules

        def earned(price: Array) -> float:
            response = followers.solve(price, rules.sell)
            energy = price - rules.network - rules.levy
            return float(profit_by_day(response, energy, rules.sell, view.wholesale_price).mean())

        state: dict[str, Any] = {"best": None, "profit": -np.inf, "step": self.step, "trial": 0}
        first = [prices.clip(wish) for wish in familiar(view).values()]
        for k in range(self.trials):
            price = first[k] if k < len(first) else _moved(state, prices, rng, k - len(first))
            state = _told(state, price, earned(price), adapt=k >= len(first))
        return state["best"], state

    def _next(self, view: View, prices: PriceSet, rng: np.random.Generator) -> tuple[Array, dict[str, Any]]:
        """What the last round's profit teaches, and the price to try now."""
        last = view.last
        if last is None or last.state is None or view.profit is None or last.tariff.buy.dim() != 1:
            price = prices.clip(next(iter(familiar(view).values())))
            return price, {"best": None, "profit": -np.inf, "step": self.step, "trial": 1}
        state = _told(last.state, last.tariff.buy_price, view.profit, adapt=last.state["trial"] > 1)
        state |= {"trial": last.state["trial"] + 1}
        return _moved(state, prices, rng, last.state["trial"] - 1), state


def _told(state: dict[str, Any], price: Array, profit: float, *, adapt: bool) -> dict[str, Any]:
    better = profit > state["profit"]
    step = state["step"] * ((GROW if better else SHRINK) if adapt else 1.0)
    best = {"best": np.asarray(price), "profit": profit} if better else {}
    return {**state, **best, "step": step}


def _moved(state: dict[str, Any], prices: PriceSet, rng: np.random.Generator, turn: int) -> Array:
    """The best price with one run of hours shifted, or all hours disturbed; the best itself once the step is fine.

    Of a menu each tariff in turn, and the best once all were tried.
    """
    best, step = state["best"], state["step"]
    if prices.menu is not None:
        return np.asarray(prices.menu[turn] if turn < len(prices.menu) else best)
    if step < FINEST:
        return np.asarray(best)
    steps = len(best)
    if rng.random() < 0.5:
        change = rng.normal(0.0, step, steps)
    else:
        run = (np.arange(steps) - rng.integers(steps)) % steps < rng.integers(1, steps // 2 + 2)
        change = np.where(run, rng.normal(0.0, 2.0 * step), 0.0)
    return prices.clip(best + change)
