"""One arm with one seed, from the study to its tables."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hmarl import storage
from hmarl.benchmark import community_optimum, no_battery, tuned_rule
from hmarl.certificate.certify import certify, judged_only
from hmarl.equilibrium.coordinator import Coordinator
from hmarl.equilibrium.iterate import Iterate, Round
from hmarl.equilibrium.resume import load, save
from hmarl.evaluation import merged, play
from hmarl.halfway import Keeper
from hmarl.headline import achieved, certified, headline
from hmarl.hour_tables import hour_tables
from hmarl.model_tables import model_tables
from hmarl.policies.base import Learner
from hmarl.policies.rule_based import RuleBased
from hmarl.settlement import Settled, settle_days
from hmarl.study_file.arm import Arm
from hmarl.tables import agents_table, iterations_table, steps_table, tariffs_table, trades_table, training_table
from hmarl.tensorboard import FOLDER as TENSORBOARD
from hmarl.tensorboard import Journal
from hmarl.unseen import on_unseen_homes
from hmarl.world import World, build

Report = Callable[[str, float], None]


class BoundBroken(RuntimeError):
    """A run below the perfect-foresight optimum of its community: the costs of the two differ, nothing is trusted."""


@dataclass(frozen=True)
class Result:
    """What one simulation leaves behind; decided by arm, seed and data alone.

    Attributes
    ----------
    frames : dict of DataFrame
        Tables by file name, units in the column names.
    checkpoint : bytes
        State of the learners.
    certificate : dict
        Convergence, promised and delivered profit, yardsticks, invariants.
    measures : dict of float
        Name in ``hmarl.measures.MEASURES`` -> value.
    data_files : list of Path
        Data files that were read.
    training_seconds : float or None [s]
        Processor time of all rounds; None where a stopped run has gone on.
    """

    frames: dict[str, pd.DataFrame]
    checkpoint: bytes
    certificate: dict[str, Any]
    measures: dict[str, float]
    data_files: list[Path]
    training_seconds: float | None = None


def simulate(
    arm: Arm, seed: int, data: Path | None, report: Report, folder: Path | None = None, tensorboard: bool = False
) -> Result:
    """Run one arm with one seed.

    Parameters
    ----------
    arm : Arm
        Resolved.
    seed : int
        Of all named streams.
    data : Path or None
        Folder with real data.
    report : callable
        Gets a label and the share done, 0..1.
    folder : Path, optional
        Of the run: rounds and a training in the middle are kept there, and a stopped run goes on from them.
    tensorboard : bool
        Also log training there for TensorBoard.

    Returns
    -------
    Result
        Headline figures are means over the judged (held-out) days, of one community.

    Raises
    ------
    BoundBroken
        If a judged day costs less than the perfect-foresight optimum of the community.
    """
    report("reading data", 0.0)
    world = _kept(build(arm, seed, data), folder, tensorboard)
    anew, began = folder is None or not _begun(folder), time.process_time()
    rounds, last = _rounds(world, report, folder)
    seconds = time.process_time() - began if anew else None
    report("held-out days", 0.92)
    learner = world.policy.start(world.spec)
    learner.load(dict(last.learners))
    settled, rows, held_out = _all_days(world, learner, last)
    cost = settled.played.cost.numpy()[rows]
    report("yardsticks", 0.95)
    yardsticks = _yardsticks(world, last, learner, cost)
    frames = {
        "iterations": iterations_table(rounds),
        "tariffs": tariffs_table(rounds),
        "steps": steps_table(world, settled, held_out),
        "agents": agents_table(world, settled, held_out),
        "trades": trades_table(world, settled),
        "training": training_table(rounds),
        **hour_tables(world, settled, rows),
    }
    forecasts, errors = model_tables(world, learner, last.tariff)
    frames |= forecasts
    unseen, misfit = on_unseen_homes(world, last.learners, last.tariff)
    report("certificate", 0.97)
    certificate = certify(world, learner, last, judged_only(world, settled, rows, last.offer.shares)) | {
        "yardsticks_per_day": yardsticks,
        "judged_days": len(rows),
        "not_served_mwh": _not_served(world, settled),
        "shortages": [] if settled.real_time is None else settled.real_time.shortages()[:20],
        "data_notes": list(world.notes),
        **({} if misfit is None else {"unseen_homes": misfit}),
    }
    measures = headline(world, last, settled, rows) | achieved(yardsticks) | certified(certificate) | errors | unseen
    buffer = io.BytesIO()
    torch.save(last.learners, buffer)
    report("done", 1.0)
    return Result(frames, buffer.getvalue(), certificate, measures, list(world.files), seconds)


def _begun(folder: Path) -> bool:
    """Whether a stopped run left something to go on from."""
    return any((folder / name).exists() for name in (storage.PROGRESS, storage.HALFWAY))


def _rounds(world: World, report: Report, folder: Path | None) -> tuple[list[Round], Iterate]:
    """Bring the two levels to rest, from where a stopped run left them; keep each round in the folder."""
    rounds, start = ([], None) if folder is None else load(folder, world)
    last = start
    for one in Coordinator(world, start, lambda label, share: report(label, 0.02 + 0.88 * share)):
        last = one
        rounds.append(one.round)
        if folder is not None:
            save(folder, rounds, one)
    assert last is not None  # equilibrium.rounds is at least 1
    return rounds, last


def _kept(world: World, folder: Path | None, tensorboard: bool) -> World:
    """A world whose trainings keep their state, and a log for TensorBoard, in the folder of the run."""
    if folder is None:
        return world
    journal = Journal(folder / TENSORBOARD) if tensorboard else None
    return replace(world, keeper=Keeper(folder / storage.HALFWAY), journal=journal)


def _all_days(world: World, learner: Learner, last: Iterate) -> tuple[Settled, NDArray[np.int64], NDArray[np.bool_]]:
    """Play and settle training and judged days in order of time; positions of judged days; which were held out."""
    held = world.judged[~torch.isin(world.judged, world.training)]
    parts = [
        play(world.game, learner, days, last.tariff, world.arrival) for days in (world.training, held) if len(days)
    ]
    played = merged(parts)
    judged = np.flatnonzero(torch.isin(played.days, world.judged).numpy())
    return settle_days(world, played, last.offer.shares), judged, torch.isin(played.days, held).numpy()


def _not_served(world: World, settled: Settled) -> float:
    """Energy of other loads that the real-time market shed, MWh over all days."""
    return 0.0 if settled.real_time is None else float(settled.real_time.shed.sum()) * world.meter.step_hours


def _yardsticks(world: World, last: Iterate, learner: Learner, cost: NDArray[np.float64]) -> dict[str, float]:
    """Costs of the community on judged days at the arm's final tariff, $ a day, wear included."""
    days, tariff = world.judged, last.tariff
    optimum = community_optimum(world.game, days, tariff)
    slack = 1e-4 * np.maximum(np.abs(optimum), 1.0)
    below = cost < optimum - slack if world.game.terminates else np.array([cost.mean() < (optimum - slack).mean()])
    if below.any():
        worst = int(np.argmin(cost - optimum))
        raise BoundBroken(
            f"Arm {world.arm.name}, seed {world.seed}: day {int(days[worst])} costs the community {cost[worst]:.6f} $, "
            f"less than its perfect-foresight optimum {optimum[worst]:.6f} $; please report this as a fault."
        )
    # Followers that are the rule have been tuned at this tariff already.
    same = world.policy == RuleBased()
    rule = learner if same else tuned_rule(world.ground, world.spec.clusters, tariff, world.seed)
    return {
        "no_battery": float(no_battery(world.game, days, tariff, world.arrival).cost.mean()),
        "tuned_rule": float(play(world.game, rule, days, tariff, world.arrival).cost.mean()),
        "followers": float(cost.mean()),
        "community_optimum": float(optimum.mean()),
    }
