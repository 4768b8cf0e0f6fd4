"""A leader that learns: an actor-critic from what it sees of the coming days to a tariff and a day-ahead bid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from aggregator.actor_critic import ActorCritic
from aggregator.gate import Gate
from aggregator.leader import Bids, Offer, View
from aggregator.leader_env import LeaderEnv
from aggregator.promise import seal
from aggregator.prosumers import Array
from retail.streams import stream

SLOWING = 0.75  # of step size and exploration over rounds: sum of steps infinite, sum of squares finite


@dataclass(frozen=True)
class Learned(Bids):
    """Hierarchical reinforcement learning after S5: the leader acts on a slow clock above learning followers.

    Before its first offer it trains on its picture of the followers (``LeaderEnv``: one step is one offer whose
    followers have settled). In every later round, that is after the followers have learned and settled, it makes one
    update with the profit that was really delivered, less what its picture had promised, and some on the picture with
    the new wholesale prices. Steps and exploration fall with the round, slower than the followers' own learning ends
    (two time scales, Borkar 1997).

    Parameters
    ----------
    trials : int
        Offers tried on the picture before the first round.
    refresh : int
        Offers tried on the picture in every later round.
    pairs : int
        Mirrored pairs of offers in an update.
    hidden : int
        Width of both nets.
    rate : float
        First step size of the optimiser (Adam), > 0.
    exploration : float
        First standard deviation of actions, which lie in [-1, 1]; > 0.
    tariff_hours : float h
        Length of the blocks with one price and one day-ahead share.
    penalty : float
        Relative cost of deviations in the picture; see ``LeaderEnv``.
    sample : int
        Scenario days of an episode.
    scenarios : int
        Scenario days used, evenly spaced over those of the view.
    information, bid, risk, block_hours, shift
        See ``Bids``; the learned share multiplies the ``price-taker`` bid.

    Raises
    ------
    LeaderError
        If a parameter is outside its range; all mistakes at once.

    Source: S5, arXiv 2604.20586 (abstract); actor-critic by Sutton et al. 2000.
    """

    name: ClassVar[str] = "learned"

    trials: int = 960
    refresh: int = 96
    pairs: int = 8
    hidden: int = 32
    rate: float = 0.02
    exploration: float = 0.3
    tariff_hours: float = 3.0
    penalty: float = 0.1
    sample: int = 4
    scenarios: int = 7

    def __post_init__(self) -> None:
        counts = {"trials": 0, "refresh": 0, "pairs": 1, "hidden": 1, "sample": 1, "scenarios": 1, "penalty": 0}
        mistakes = [
            f"{name} is {getattr(self, name)!r}; give a number >= {least}."
            for name, least in counts.items()
            if not getattr(self, name) >= least
        ]
        mistakes += [
            f"{name} is {getattr(self, name)!r}; give a number > 0."
            for name in ("rate", "exploration", "tariff_hours")
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0.0)
        ]
        self.check(mistakes)

    def offer(self, view: View) -> Offer:
        """Learn, then offer what the actor chooses; from the second round on with a little exploration.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
            ``shares`` is the learned part of the bid, ``state`` what was learned.
        """
        scene = view.thinned(self.scenarios)
        env = self.environment(scene)
        slower = (1.0 + view.round) ** -SLOWING
        seen = env.observe(np.arange(scene.portfolio.days))
        last = view.last.state if view.last is not None else None
        if last is None:
            nets = ActorCritic.start(len(seen), 2 * env.blocks, self.hidden, view.seed)
        else:
            nets = ActorCritic.load(last["nets"])
        leaves = nets.leaves()
        optimiser = torch.optim.Adam(leaves.values(), lr=self.rate * slower)
        trials, usual = self.trials, {"surprise": 0.0, "rounds": 0}
        if last is not None:
            trials = self.refresh
            usual = self._from_delivered(nets, leaves, optimiser, view, last)
        self._on_picture(nets, leaves, optimiser, env, trials, slower)
        nets.settle()
        action = nets.act(seen)
        sigma = 0.0 if last is None else 0.1 * self.exploration * slower
        noise = stream(view.seed, f"leader action {view.round}").normal(0.0, 1.0, len(action))
        prices, shares = env.decode((action + sigma * noise)[None])
        state = {"nets": nets.state(), "seen": seen, "action": action + sigma * noise, "sigma": sigma, **usual}
        method = f"actor-critic, {trials} offers tried on {scene.portfolio.days} scenario days"
        method += ", one update from the delivered profit" if last is not None and view.profit is not None else ""
        made = Offer(self.name, self.information, view.rules.tariff(prices[0]), None, method=method)
        return replace(seal(scene, made), shares=shares[0], state=state)

    def environment(self, view: View) -> LeaderEnv:
        """The environment it trains in.

        Parameters
        ----------
        view : View

        Returns
        -------
        LeaderEnv
        """
        return LeaderEnv(
            view, block_hours=self.tariff_hours, days=self.sample, penalty=self.penalty, seed=view.seed + view.round
        )

    def _on_picture(
        self, nets: ActorCritic, leaves: Any, optimiser: Any, env: LeaderEnv, trials: int, slower: float
    ) -> None:
        rng = stream(env.view.seed, f"leader exploration {env.view.round}")
        updates = trials // (2 * self.pairs)
        for k in range(updates):
            sigma = self.exploration * slower * (1.0 - 0.8 * k / updates)
            for group in optimiser.param_groups:
                group["lr"] = self.rate * slower * (1.0 - 0.9 * k / updates)
            days = env.draw()
            seen = env.observe(days)
            actions = nets.explore(seen, self.pairs, sigma, rng)
            nets.learn(optimiser, leaves, seen, actions, env.profits(actions, days), sigma)

    def _from_delivered(
        self, nets: ActorCritic, leaves: Any, optimiser: Any, view: View, last: dict[str, Any]
    ) -> dict[str, float]:
        """One step along the explored part of the last action, by how far the delivered profit surprised.

        What delivered and promised profit usually differ by is the picture's error, not the action's merit.
        """
        usual = {"surprise": float(last["surprise"]), "rounds": int(last["rounds"])}
        if view.profit is None or view.last is None or view.last.promised is None:
            return usual
        surprise = view.profit - view.last.promised
        if last["sigma"] and usual["rounds"]:
            merit = surprise - usual["surprise"]
            actions = np.stack([last["action"], 2.0 * nets.act(last["seen"]) - last["action"]])
            rewards = nets.scale["mean"] + np.array([merit, -merit])
            nets.learn(optimiser, leaves, last["seen"], actions, rewards, last["sigma"])
        rounds = usual["rounds"] + 1
        return {"surprise": usual["surprise"] + (surprise - usual["surprise"]) / rounds, "rounds": rounds}

    def position(self, gate: Gate) -> Array:
        """Day-ahead position: the bid of the chosen style, times the learned share where it takes prices.

        Parameters
        ----------
        gate : Gate

        Returns
        -------
        array [D, T] kWh per step
        """
        bought = super().position(gate)
        return bought if gate.shares is None or self.bid != "price-taker" else bought * gate.shares
