"""The leader's problem as a Gymnasium environment: see the coming days, set tariff and bid, earn the settled profit."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from aggregator.leader import LeaderError, View
from aggregator.portfolio import BestResponse
from aggregator.prosumers import Array
from retail.streams import stream

FARTHEST = 10.0


class LeaderEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """One step is one offer that holds until the followers have settled: the leader's slow clock.

    The followers of the view answer with their own optimum. An episode draws some of the scenario days, shows their
    wholesale price, net load without batteries and default tariff, takes an action and ends with the profit.

    Parameters
    ----------
    view : View
        Rules, picture of the followers, wholesale prices.
    block_hours : float h
        Length of the blocks in which prices and bids are one number.
    days : int
        Scenario days drawn for an episode.
    penalty : float
        Deviations from the day-ahead position cost (and earn) so much more (less) than the wholesale price, relative;
        >= 0.
    seed : int
        Of the draws before ``reset`` is given one.

    Attributes
    ----------
    observation_space : Box [3 K] in [-10, 10]
        By block: mean wholesale price ($/kWh), net load without batteries per prosumer (kWh per step), default buy
        price ($/kWh); all centred, scaled by their own spread over the scenario days, and cut off at 10 of it.
    action_space : Box [2 K] in [-1, 1]
        By block: price between floor and ceiling (before cap and ramp), and share of the forecast bought day-ahead
        between 0.8 and 1.2.

    Notes
    -----
    Reward: mean profit of the drawn days, $/day for one community, with deviations settled at two prices.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self, view: View, *, block_hours: float = 3.0, days: int = 4, penalty: float = 0.1, seed: int = 0
    ) -> None:
        if not (days >= 1 and penalty >= 0.0 and block_hours > 0.0):
            raise LeaderError(
                f"The environment has days {days}, penalty {penalty:g} and block_hours {block_hours:g}; "
                "give days >= 1, penalty >= 0 and block_hours > 0."
            )
        self.view, self.penalty = view, penalty
        self._prices = view.rules.price_set()
        width = max(1, round(block_hours / view.meter.step_hours))
        self._block = np.arange(view.portfolio.steps) // width
        self.blocks = int(self._block[-1]) + 1
        self._count = min(days, view.portfolio.days)
        self._features = self._all_features()
        self._rng = stream(seed, "leader env")
        self._days = np.arange(self._count)
        self._answers: dict[bytes, BestResponse] = {}
        self.observation_space = gymnasium.spaces.Box(-FARTHEST, FARTHEST, (3 * self.blocks,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2 * self.blocks,), np.float32)

    def _all_features(self) -> Array:
        """Features of each scenario day, array [D, 3 K]."""
        view = self.view
        default = view.on_scenario_days(view.rules.default).buy_price
        net = view.portfolio.fixed_kwh.mean(axis=1)
        if default.ndim == 2 and len(default) != len(net):
            default = default.mean(axis=0)
        parts = (view.wholesale_price, net, np.broadcast_to(default, net.shape))
        found = []
        for part in parts:
            by_block = np.stack([part[:, self._block == k].mean(axis=1) for k in range(self.blocks)], axis=1)
            found.append((by_block - by_block.mean()) / (by_block.std() + 1e-3))
        return np.clip(np.concatenate(found, axis=1), -FARTHEST, FARTHEST)

    def observe(self, days: NDArray[np.intp]) -> NDArray[np.float32]:
        """What is seen of some scenario days.

        Parameters
        ----------
        days : array of int [D']
            Positions in the day axis of the view.

        Returns
        -------
        array [3 K] float32
        """
        return self._features[days].mean(axis=0).astype(np.float32)

    def draw(self) -> NDArray[np.intp]:
        """Days of a new episode, without repetition, in order.

        Returns
        -------
        array of int [days]
        """
        return np.sort(self._rng.choice(self.view.portfolio.days, self._count, replace=False))

    def decode(self, actions: Array) -> tuple[Array, Array]:
        """Prices and day-ahead shares of actions.

        Parameters
        ----------
        actions : array [B, 2 K]
            Cut to [-1, 1].

        Returns
        -------
        prices : array [B, T] $/kWh
            Admissible and on ticks.
        shares : array [B, T]
        """
        inside = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
        low, high = self._prices.low, self._prices.high
        wish = low + (high - low) * (inside[:, : self.blocks][:, self._block] + 1.0) / 2.0
        shares = 1.0 + 0.2 * inside[:, self.blocks :][:, self._block]
        return np.stack([self._prices.clip(one) for one in wish]), shares

    def profits(self, actions: Array, days: NDArray[np.intp]) -> Array:
        """Profit of several actions on the same days; all best responses in one batch.

        Parameters
        ----------
        actions : array [B, 2 K]
        days : array of int [D']

        Returns
        -------
        array [B] $/day
        """
        prices, shares = self.decode(actions)
        count, rules = len(prices), self.view.rules
        followers = self._followers(days, count)
        buy = np.repeat(prices, len(days), axis=0)
        response = followers.solve(buy, np.broadcast_to(rules.sell, buy.shape))
        energy = buy - rules.network - rules.levy
        wholesale = np.tile(self.view.wholesale_price[days], (count, 1))
        retail = (energy * response.total_importing - rules.sell * response.total_exporting).sum(axis=1)
        net = response.net.reshape(count, len(days), -1)
        # each day is forecast by the others, so that no bid knows its own day
        mean = net.mean(axis=1, keepdims=True)
        forecast = mean + (mean - net) / max(len(days) - 1, 1)
        position = (shares[:, None] * forecast).reshape(response.net.shape)
        deviation = response.net - position
        paid = wholesale * response.net + self.penalty * np.abs(wholesale * deviation)
        return np.asarray((retail - paid.sum(axis=1)).reshape(count, -1).mean(axis=1))

    def _followers(self, days: NDArray[np.intp], count: int) -> BestResponse:
        key = np.append(days, count).tobytes()
        if key not in self._answers:
            self._answers = {key: BestResponse(self.view.portfolio.over(np.tile(days, count)))}
        return self._answers[key]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Draw the days of a new episode.

        Parameters
        ----------
        seed : int, optional
            Starts the draws anew.
        options : dict, optional
            Not used.

        Returns
        -------
        observation : array [3 K]
        info : dict
            ``days``.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._rng = stream(seed, "leader env")
        self._days = self.draw()
        return self.observe(self._days), {"days": self._days}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Offer a tariff and a bid and settle.

        Parameters
        ----------
        action : array [2 K]

        Returns
        -------
        observation, reward, terminated, truncated, info
            Terminated always; ``info`` holds ``price`` [T] $/kWh and ``share`` [T].
        """
        actions = np.asarray(action, dtype=np.float64)[None]
        price, share = self.decode(actions)
        reward = float(self.profits(actions, self._days)[0])
        return self.observe(self._days), reward, True, False, {"price": price[0], "share": share[0]}
