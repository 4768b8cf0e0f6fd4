"""A run goes on at the round where it was stopped: one file in the run folder, rewritten after each round.

The file holds what the tables need of all rounds and what the next one starts from; the last settlement is played again
from the followers' state, which gives the same numbers. A finished run removes it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hmarl import storage
from hmarl.equilibrium.answer import settle
from hmarl.equilibrium.iterate import Iterate, Round, Step, restore, snapshot
from hmarl.equilibrium.trust_region import Memory
from hmarl.world import World
from retail.streams import stream
from retail.tariff import Tariff


@dataclass(frozen=True)
class Progress:
    """Rounds so far and what the next one starts from.

    Attributes
    ----------
    rounds : tuple of Round
    learners : dict
        State of the followers and of their stream of days.
    memory : Any
        Of the method.
    """

    rounds: tuple[Round, ...]
    learners: dict[str, Any]
    memory: Any


def save(folder: Path, rounds: Sequence[Round], last: Iterate) -> None:
    """Write the rounds so far, completely or not at all.

    Parameters
    ----------
    folder : Path
        Of the run.
    rounds : sequence of Round
        All, up to ``last``.
    last : Iterate
        What the next round starts from.
    """
    buffer = io.BytesIO()
    torch.save(Progress(tuple(rounds), last.learners, last.memory), buffer)
    storage.write_bytes(folder / storage.PROGRESS, buffer.getbuffer())


def load(folder: Path, world: World) -> tuple[list[Round], Iterate | None]:
    """Read the rounds of a stopped run and play the last one again.

    Parameters
    ----------
    folder : Path
        Of the run; it holds the same study, arm and seed.
    world : World
        The same.

    Returns
    -------
    rounds : list of Round
        Empty if nothing was stored.
    last : Iterate or None
        To go on from.

    Raises
    ------
    RunFolderError
        If the file cannot be read.
    """
    path = folder / storage.PROGRESS
    if not path.exists():
        return [], None
    try:
        with torch.serialization.safe_globals(_trusted()):
            progress = torch.load(path, weights_only=True)
    except Exception as error:  # a foreign or older file can fail in any way
        raise storage.RunFolderError(
            f"{path} cannot be read by this version ({type(error).__name__}); use --fresh to start the run again."
        ) from error
    rounds, done = list(progress.rounds), progress.rounds[-1]
    learner, rng = world.policy.start(world.spec), stream(world.seed, "days")
    restore(learner, rng, progress.learners)
    settled = settle(world, learner, done.tariff, done.offer.shares)
    kept = (
        "k",
        "offer",
        "tariff",
        "training",
        "episodes",
        "price_change",
        "cost_change",
        "converged",
        "reason",
        "step",
    )
    given = {name: getattr(done, name) for name in kept}
    # Equal states make equal bytes only where they are built in the same way.
    return rounds, Iterate(**given, settled=settled, learners=snapshot(learner, rng), memory=progress.memory)


def _trusted() -> list[Any]:
    """The only classes that a progress file may name."""
    from aggregator.leader import Offer  # noqa: PLC0415
    from aggregator.local_response import Local  # noqa: PLC0415
    from aggregator.portfolio import Portfolio  # noqa: PLC0415
    from aggregator.response import Observed, Structural  # noqa: PLC0415
    from aggregator.trust_region import Search, Terms, Trial  # noqa: PLC0415

    ours: list[Any] = [Progress, Round, Step, Memory, Tariff]
    ours += [Offer, Local, Portfolio, Observed, Structural, Search, Terms, Trial]
    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "bool")]
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    return [*ours, np.ndarray, np.dtype, scalar, array, *kinds]
