"""PettingZoo face of a game: one day, one dictionary entry per prosumer."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from retail.game import Game
from retail.state import State
from retail.streams import stream
from retail.tariff import Tariff

Array = NDArray[np.float32]


class RetailEnv(ParallelEnv):
    """One day of a game with B = 1; see ``parallel_env``."""

    metadata = {"name": "hmarl_retail_v0", "render_modes": []}  # noqa: RUF012  PettingZoo's own form
    render_mode = None

    def __init__(self, game: Game, tariff: Tariff, days: tuple[int, ...]) -> None:
        self.game, self.tariff, self.days = game, tariff, days
        self.possible_agents = list(game.community.names)
        self.agents: list[str] = []
        self.observation_names = game.observation_names
        self._rng = stream(0, "env")
        self._state: State | None = None

    @functools.cache  # noqa: B019  PettingZoo asks for the same object each time
    def observation_space(self, agent: str) -> Box:
        """Box of the named features, float32, unbounded.

        Parameters
        ----------
        agent : str
            Name of a prosumer; all have the same features (scaled, no unit).
        """
        return Box(-np.inf, np.inf, (len(self.observation_names),), np.float32)

    @functools.cache  # noqa: B019
    def action_space(self, agent: str) -> Box:
        """One number in [-1, 1] for each of ``Game.heads``, float32; the first two are battery and limit price.

        Parameters
        ----------
        agent : str
            Name of a prosumer; units as in ``retail.heads``.
        """
        return Box(-1.0, 1.0, (len(self.game.heads),), np.float32)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
        """Start a day, drawn from the given days unless ``options={'day': d}``.

        Parameters
        ----------
        seed : int, optional
            Restarts the stream of days and arrivals.
        options : dict, optional
            ``day``: int, day of the community.

        Returns
        -------
        observations, infos : dict
            One entry per prosumer.
        """
        if seed is not None:
            self._rng = stream(seed, "env")
        c = self.game.community
        row = int(self._rng.integers(len(self.days)))
        day = self.days[row] if not options else int(options.get("day", self.days[row]))
        arrival = torch.from_numpy(self._rng.random((1, c.steps, c.prosumers)).argsort(-1))
        days = torch.tensor([day])
        self._state = self.game.reset(days, self.tariff.on(days), arrival)
        self.agents = self.possible_agents[:]
        return self._observe(self._state), {a: {} for a in self.agents}

    def step(self, actions: dict[str, Array]) -> tuple[dict[str, Any], ...]:
        """Play one step.

        Parameters
        ----------
        actions : dict
            Box action of every prosumer.

        Returns
        -------
        observations, rewards, terminations, truncations, infos : dict
            Rewards in $; infos hold ``cost`` ($), ``net_kwh`` and ``store_change_kwh`` as executed.
        """
        if self._state is None:
            raise RuntimeError("Call reset before step.")
        action = torch.from_numpy(np.stack([actions[a] for a in self.agents]).clip(-1, 1))[None]
        self._state, outcome = self.game.step(self._state, action)
        over = self._state.step >= self.game.community.steps
        names = self.agents
        rewards = dict(zip(names, outcome.reward[0].tolist(), strict=True))
        executed = zip(outcome.cost[0].tolist(), outcome.net[0].tolist(), outcome.store_change[0].tolist(), strict=True)
        infos = {
            a: {"cost": c, "net_kwh": n, "store_change_kwh": s} for a, (c, n, s) in zip(names, executed, strict=True)
        }
        ended = over and self.game.terminates
        terminations, truncations = dict.fromkeys(names, ended), dict.fromkeys(names, over and not ended)
        observations = self._observe(self._state)
        if over:
            self.agents = []
        return observations, rewards, terminations, truncations, infos

    def state(self) -> Array:
        """All observations in one vector, for central critics, array [N * F] float32 (scaled)."""
        if self._state is None:
            raise RuntimeError("Call reset before state.")
        return self.game.observe(self._state)[0].flatten().numpy()

    def render(self) -> None:
        """Nothing to draw: results have their own figures."""

    def close(self) -> None:
        """Nothing to close."""

    def _observe(self, state: State) -> dict[str, Array]:
        rows = self.game.observe(state)[0].numpy()
        return dict(zip(self.possible_agents, rows, strict=True))


def parallel_env(game: Game, tariff: Tariff, days: tuple[int, ...] | None = None) -> RetailEnv:
    """A PettingZoo ``ParallelEnv`` of one retail day.

    Parameters
    ----------
    game : Game
        Community, auction, rules.
    tariff : Tariff
        [T], or [days, T] with one row for each day of the community; ticks of 1e-5 $/kWh.
    days : tuple of int, optional
        Days that ``reset`` draws from; all after the warm-up when absent.

    Returns
    -------
    RetailEnv
        Agents are named as the prosumers; rewards in $.
    """
    c = game.community
    return RetailEnv(game, tariff, days if days is not None else tuple(range(c.warm_up, c.days)))
