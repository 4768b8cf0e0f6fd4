"""Any PettingZoo ParallelEnv as an arena, so that every policy of continuous or discrete heads trains on it.

Actions. A Box of d numbers takes d heads, each from its lowest (-1) to its highest value (1). A Discrete space of n
choices takes n heads, and the largest one is chosen. Agents with fewer heads than others leave the last ones idle.
Observations. Boxes are flattened, Discrete spaces become one-hot; shorter ones are padded by zeros, and a one-hot of
the agent may be appended, for nets that agents of different roles share.
Episodes. All have the same number of steps: who leaves earlier sees zeros and earns nothing from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray
from torch import Tensor

from hmarl.policies.base import Misfit
from retail.observation import Features


@dataclass
class ParallelArena:
    """B copies of a ParallelEnv, stepped one after the other.

    Parameters
    ----------
    make : callable
        Returns a new environment with ``possible_agents``.
    steps : int
        Of an episode; the environment's own limit.
    identify : bool
        Whether a one-hot of the agent is appended to what it sees.
    terminated : bool
        Whether the last step ends the task; False where a time limit cuts it.

    Raises
    ------
    Misfit
        For spaces other than Box and Discrete, and for boxes of actions without bounds.
    """

    make: Callable[[], Any]
    steps: int
    identify: bool = False
    terminated: bool = False
    common: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._copies: list[Any] = [self.make()]
        first = self._copies[0]
        self.names: list[str] = list(first.possible_agents)
        self.agents = len(self.names)
        self._acts = [_heads(first.action_space(name), name) for name in self.names]
        width = max(heads for heads, _ in self._acts)
        self.heads = tuple(f"action_{k}" for k in range(width))
        self.controls = torch.tensor([[k < heads for k in range(width)] for heads, _ in self._acts])
        self._sees = [_reader(first.observation_space(name), name) for name in self.names]
        self._seen = max(size for size, _ in self._sees)
        self.personal = self._seen + (self.agents if self.identify else 0)

    def reset(self, copies: int, generator: torch.Generator) -> Features:
        """Start B episodes.

        Parameters
        ----------
        copies : int
            B.
        generator : torch.Generator
            Draws one seed for each environment.

        Returns
        -------
        Features
            Nothing common; personal [B, N, P].
        """
        self._copies += [self.make() for _ in range(copies - len(self._copies))]
        self._playing = self._copies[:copies]
        seeds = torch.randint(2**31 - 1, (copies,), generator=generator).tolist()
        return self._look([env.reset(seed=seed)[0] for env, seed in zip(self._playing, seeds, strict=True)])

    def step(self, action: Tensor) -> tuple[Features, Tensor]:
        """Play one step in every copy.

        Parameters
        ----------
        action : Tensor [B, N, A]
            Cut to [-1, 1].

        Returns
        -------
        features : Features
            Of the next step.
        reward : Tensor [B, N] float32
            Of the environment.
        """
        rows = action.detach().clamp(-1, 1).double().numpy()
        reward = np.zeros((len(rows), self.agents), dtype=np.float32)
        seen: list[dict[str, Any]] = []
        for b, env in enumerate(self._playing):
            alive = set(env.agents)
            if not alive:
                seen.append({})
                continue
            acts = {
                name: act(rows[b, n]) for n, (name, (_, act)) in enumerate(self._named(self._acts)) if name in alive
            }
            observed, earned, *_ = env.step(acts)
            seen.append({name: x for name, x in observed.items() if name in env.agents})
            for n, name in enumerate(self.names):
                reward[b, n] = earned.get(name, 0.0)
        return self._look(seen), torch.from_numpy(reward)

    def _named(self, parts: list[Any]) -> list[tuple[str, Any]]:
        return list(zip(self.names, parts, strict=True))

    def _look(self, observed: list[dict[str, Any]]) -> Features:
        table = np.zeros((len(observed), self.agents, self.personal), dtype=np.float32)
        for b, one in enumerate(observed):
            for n, (name, (size, read)) in enumerate(self._named(self._sees)):
                if name in one:
                    table[b, n, :size] = read(one[name])
        if self.identify:
            table[:, :, self._seen :] = np.eye(self.agents, dtype=np.float32)
        return Features(torch.zeros(len(observed), 0), torch.from_numpy(table))


def _heads(space: Space[Any], name: str) -> tuple[int, Callable[[NDArray[np.float64]], Any]]:
    """Number of heads of an action space, and what turns heads in [-1, 1] into an action."""
    if isinstance(space, Discrete):
        count, start = int(space.n), int(space.start)
        return count, lambda heads: start + int(np.argmax(heads[:count]))
    if isinstance(space, Box) and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        low, high, shape = space.low.ravel().astype(float), space.high.ravel().astype(float), space.shape
        return (
            len(low),
            lambda heads: (
                np.clip(low + (heads[: len(low)] + 1) / 2 * (high - low), low, high).reshape(shape).astype(space.dtype)
            ),
        )
    raise Misfit(f"Actions of {name} are {space}; an arena takes Discrete spaces and Boxes with finite bounds.")


def _reader(space: Space[Any], name: str) -> tuple[int, Callable[[Any], NDArray[np.float32]]]:
    """Length of an observation, and what makes it flat."""
    if isinstance(space, Discrete):
        count, start = int(space.n), int(space.start)
        hot = np.eye(count, dtype=np.float32)
        return count, lambda x: hot[int(x) - start]
    if isinstance(space, Box):
        return int(np.prod(space.shape)), lambda x: np.asarray(x, dtype=np.float32).ravel()
    raise Misfit(f"Observations of {name} are {space}; an arena takes Boxes and Discrete spaces.")
