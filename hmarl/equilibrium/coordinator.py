"""The two levels meet: leader and followers answer each other until prices rest, and say so if they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hmarl.equilibrium.alternate import alternate
from hmarl.equilibrium.iterate import Iterate, Report, Round, Step
from hmarl.equilibrium.trust_region import climb
from hmarl.world import World

__all__ = ["METHODS", "Coordinator", "Iterate", "Round", "Step"]

METHODS: dict[str, Callable[[World, Iterate | None, Report], Iterator[Iterate]]] = {
    "alternate": alternate,
    "trust-region": climb,
}
"""Name in ``equilibrium: {method: ...}`` -> how the levels are brought to rest."""


class Coordinator:
    """An iterable of rounds; nothing else holds state.

    Parameters
    ----------
    world : World
        One arm and seed.
    start : Iterate, optional
        Go on after this round.
    report : callable
        Gets a label and the share done, 0..1.
    """

    def __init__(self, world: World, start: Iterate | None = None, report: Report = lambda label, share: None) -> None:
        self.world, self.start, self.report = world, start, report

    def __iter__(self) -> Iterator[Iterate]:
        if self.start is None or not self.start.converged:
            yield from METHODS[self.world.arm.equilibrium.method](self.world, self.start, self.report)
