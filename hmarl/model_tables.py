"""What a follower's world model said about days that nobody learned from, and how its homes could be grouped."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hmarl.clustering import choices
from hmarl.policies.base import Learner
from hmarl.tables import timestamps
from hmarl.training import collect
from hmarl.world import World
from hmarl.world_model import Trail, WorldModel, errors, predict, trail
from retail.observation import PRICE_SCALE
from retail.tariff import Tariff

Tables = dict[str, pd.DataFrame]
BAND_HOURS = 3.0
PERCENT = ("quantity_mape", "price_mape")


@runtime_checkable
class Modelled(Protocol):
    """A learner with a world model.

    Attributes
    ----------
    model : WorldModel or None
        None until it has been fitted.
    series : Tensor [N, T] or None
        Mean traded quantity of each home over its size, by which homes were grouped.
    """

    model: WorldModel | None
    series: Tensor | None


def model_tables(world: World, learner: Learner, tariff: Tariff) -> tuple[Tables, dict[str, float]]:
    """Hold forecasts of the judged days against what then happened, exploration off.

    Parameters
    ----------
    world : World
        One arm and seed.
    learner : Learner
        Trained.
    tariff : Tariff [T] or [community days, T]
        Of the last round.

    Returns
    -------
    dict of DataFrame
        ``forecasts``, one row per step and home: group (homes that share a model), quantity_kwh (+ = bought),
        price_per_kwh (empty without a trade) and their forecasts. ``groupings``, one row per method and number of
        groups: inertia and silhouette of the homes' mean traded quantities (no unit). Empty for learners without a
        fitted model.
    dict of float
        RMSE and MAPE of both, see ``hmarl.measures.MEASURES``.
    """
    if not isinstance(learner, Modelled) or learner.model is None:
        return {}, {}
    from hmarl.readings import Readings  # noqa: PLC0415  few learners need it

    readings = Readings(world.game)
    rollout, _ = collect(learner, world.ground, tariff, world.judged, explore=False)
    days = trail(readings, rollout.features)
    found = errors(learner.model, days, readings.size)
    tables = {"forecasts": _forecasts(world, learner.model, days, readings.size)}
    if learner.series is not None:
        tables["groupings"] = pd.DataFrame(choices(learner.series.double().numpy(), BAND_HOURS, world.seed))
    return tables, {name: 100 * x if name in PERCENT else x for name, x in found.items()}


def _forecasts(world: World, model: WorldModel, days: Trail, size: Tensor) -> pd.DataFrame:
    quantity, price, _ = predict(model, days.common, days.personal)
    nothing = torch.full_like(price, torch.nan)
    columns = {
        "quantity_kwh": days.target[0] * size,
        "quantity_forecast_kwh": quantity * size,
        "price_per_kwh": torch.where(days.traded, days.target[1] * PRICE_SCALE, nothing),
        "price_forecast_per_kwh": price * PRICE_SCALE,
    }
    # [T, D, N] -> rows by day, step, home
    rows = {name: values.transpose(0, 1).flatten().float().numpy() for name, values in columns.items()}
    clock = timestamps(world, world.judged.numpy())
    names, groups = np.array(world.game.community.names), model.clusters.numpy()
    homes = {"prosumer": np.tile(names, len(clock)), "group": np.tile(groups, len(clock))}
    return pd.DataFrame({"timestamp": clock.repeat(len(names)), **homes, **rows})
