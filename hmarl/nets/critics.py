"""Critics of continuous actions: each agent's own, with public information, or joint; all agents at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hmarl.nets.networks import Groups, StackedMLP
from retail.observation import Features


@dataclass(frozen=True)
class Scene:
    """R joint steps as critics read them.

    Attributes
    ----------
    common : Tensor [R, C]
        Features that all agents share.
    flat : Tensor [R, M, P]
        Features of each agent.
    personal : Tensor [G, R, K, P]
        The same by group of the actors.
    public : Tensor [R, Z]
        What was published of the step.
    """

    common: Tensor
    flat: Tensor
    personal: Tensor
    public: Tensor

    @classmethod
    def of(cls, features: Features, groups: Groups, public: Tensor) -> Scene:
        """Bring observations into groups.

        Parameters
        ----------
        features : Features
            Common [R, C] and personal [R, M, P] (scaled).
        groups : Groups
            Of the actors.
        public : Tensor [R, Z]
            What was published.

        Returns
        -------
        Scene
            No unit.
        """
        return cls(features.common, features.personal, groups.gather(features.personal), public)


class Critic(Protocol):
    """Values of actions; everything by agent is in groups of the actors, [G, R, K, ...]."""

    net: StackedMLP

    def value(self, scene: Scene, action: Tensor) -> Tensor:
        """Value of a joint action.

        Parameters
        ----------
        scene : Scene
            R joint steps.
        action : Tensor [G, R, K, A]
            Of all agents.

        Returns
        -------
        Tensor [G, R, K, 1]
            For each agent.
        """
        ...

    def own(self, scene: Scene, taken: Tensor, action: Tensor, shift: Tensor | None) -> Tensor:
        """Value for each agent if it alone acted differently.

        Parameters
        ----------
        scene : Scene
            R joint steps.
        taken : Tensor [G, R, K, A]
            What all agents did.
        action : Tensor [G, R, K, A]
            What each of them would do, with derivative.
        shift : Tensor [G, R, K, Z], optional
            By how much that moves what is published.

        Returns
        -------
        Tensor [G, R, K, 1]
            For each agent.
        """
        ...


class LocalCritic:
    """Q(o_n, z, a_n): own observation and action, and what was published (Z may be 0).

    Parameters
    ----------
    groups : int
        Nets G, one for each group of the actors.
    widths : tuple of int
        C, Z, P, A.
    hidden : tuple of int
        Widths of the hidden layers.
    generator : torch.Generator
        Stream of initial weights.
    """

    def __init__(
        self, groups: int, widths: tuple[int, int, int, int], hidden: tuple[int, ...], generator: torch.Generator
    ) -> None:
        self.common, self.published, personal, heads = widths
        shared = self.common + self.published
        self.net = StackedMLP(groups, shared, personal + heads, (*hidden, 1), generator, activation="norm-relu")

    def _first(self, scene: Scene, action: Tensor) -> Tensor:
        common = torch.cat([scene.common, scene.public], -1) if self.published else scene.common
        return self.net.first(common, torch.cat([scene.personal, action], -1))

    def value(self, scene: Scene, action: Tensor) -> Tensor:
        """See ``Critic``."""
        return self.net.after(self._first(scene, action)).reshape(*action.shape[:-1], 1)

    def own(self, scene: Scene, taken: Tensor, action: Tensor, shift: Tensor | None) -> Tensor:
        """See ``Critic``; without ``shift`` what is published stays as it was."""
        x = self._first(scene, action)
        if shift is not None:
            columns = self.net.weights[0][:, self.common : self.common + self.published]
            x = torch.baddbmm(x, shift.flatten(1, 2), columns)
        return self.net.after(x).reshape(*action.shape[:-1], 1)


class JointCritic:
    """Q_n(o_1..o_M, a_1..a_M), one net for each agent, whatever the actors share.

    The input is the same for all agents. When each agent's own action is changed in turn, only its own A columns of
    the first layer see something new, so the layer is computed once and corrected by a product of rank A: exactly the
    value of literal substitution at O(M A H) instead of O(M^2 H) a row.

    Parameters
    ----------
    groups : Groups
        Of the actors; M agents.
    widths : tuple of int
        C, P, A.
    hidden : tuple of int
        Widths of the hidden layers.
    generator : torch.Generator
        Stream of initial weights.
    """

    def __init__(
        self, groups: Groups, widths: tuple[int, int, int], hidden: tuple[int, ...], generator: torch.Generator
    ) -> None:
        common, personal, self.heads = widths
        self.groups, self.agents = groups, len(groups.agents)
        self.before = common + self.agents * personal
        wide = self.before + self.agents * self.heads
        self.net = StackedMLP(self.agents, wide, 0, (*hidden, 1), generator, activation="norm-relu")

    def _first(self, scene: Scene, action: Tensor) -> Tensor:
        x = torch.cat([scene.common, scene.flat.flatten(1), self.groups.scatter(action).flatten(1)], -1)
        return torch.matmul(x, self.net.weights[0]) + self.net.biases[0]

    def _grouped(self, values: Tensor) -> Tensor:
        return self.groups.gather(values.transpose(0, 1))

    def value(self, scene: Scene, action: Tensor) -> Tensor:
        """See ``Critic``."""
        return self._grouped(self.net.after(self._first(scene, action)))

    def own(self, scene: Scene, taken: Tensor, action: Tensor, shift: Tensor | None) -> Tensor:
        """See ``Critic``; nothing is published here but everything seen, so ``shift`` has no meaning."""
        with torch.no_grad():
            x = self._first(scene, taken)
        table = self.net.weights[0][:, self.before :].unflatten(1, (self.agents, self.heads))
        every = torch.arange(self.agents)
        moved = self.groups.scatter(action - taken).transpose(0, 1)
        return self._grouped(self.net.after(torch.baddbmm(x, moved, table[every, every])))


def parameters(critics: list[Critic]) -> list[nn.Parameter]:
    """Weights of several critics.

    Parameters
    ----------
    critics : list of Critic
        One or two.

    Returns
    -------
    list of Parameter
        All of them, in order.
    """
    return [p for critic in critics for p in critic.net.parameters()]
