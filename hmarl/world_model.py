"""World model: what a home will trade in this step and at which price, forecast from its own day so far.

One net per group of homes and target. Inputs of step t (Sanayha and Vateekul 2022, eq. 4): inflexible net load, stored
energy, tariff and feed-in price of t, and traded quantity (or price) and reward of t - 1; the day before is not known,
since training days are drawn in any order. It is a forecaster whose output policies read, not a simulator.

Source: Sanayha and Vateekul (2022), doi 10.1109/ACCESS.2022.3224460.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hmarl.nets.bodies import Carried, Recurrent
from hmarl.nets.networks import Groups, of_like_size
from hmarl.nets.transformer import CausalTransformer
from hmarl.readings import Readings
from retail.observation import PRICE_SCALE, Features

ModelName = Literal["lstm", "gru", "transformer"]
TARGETS = ("quantity", "price")
COMMON, PERSONAL = 2, 4
SMALL = 0.05
"""Targets below this (kWh, $/kWh) are left out of the percentage error."""


@dataclass(frozen=True)
class Trail:
    """What days left behind, time first.

    Attributes
    ----------
    common : Tensor [T, D, 2] float32
        Tariff and feed-in price (scaled).
    personal : Tensor [2, T, D, N, 4] float32
        For each target: net load, store, the target one step before, reward one step before (scaled).
    target : Tensor [2, T, D, N] float32
        Traded quantity over size, and price over ``PRICE_SCALE``.
    traded : Tensor [T, D, N] bool
        Whether there was a trade, and so a price.
    """

    common: Tensor
    personal: Tensor
    target: Tensor
    traded: Tensor

    def of_days(self, days: Tensor) -> Trail:
        """Some of the days."""
        return Trail(self.common[:, days], self.personal[:, :, days], self.target[:, :, days], self.traded[:, days])

    def and_then(self, other: Trail, most: int) -> Trail:
        """These days and later ones; only the last ``most`` are kept."""
        axes = {"common": 1, "personal": 2, "target": 2, "traded": 1}
        joined = {k: torch.cat([getattr(self, k), getattr(other, k)], axis) for k, axis in axes.items()}
        return Trail(
            **{
                k: v.narrow(axes[k], max(v.shape[axes[k]] - most, 0), min(most, v.shape[axes[k]]))
                for k, v in joined.items()
            }
        )

    @property
    def days(self) -> int:
        """Number of days D."""
        return self.common.shape[1]


def inputs(readings: Readings, features: Features) -> tuple[Tensor, Tensor]:
    """Inputs of the models for a stretch from the start of a day.

    Parameters
    ----------
    readings : Readings
        Of the game.
    features : Features
        Steps 0..t of a day, [t + 1, B, ...].

    Returns
    -------
    common : Tensor [t + 1, B, 2] float32
        Prices of each step.
    personal : Tensor [2, t + 1, B, N, 4] float32
        For each target; nothing later than the step itself, of trades and rewards nothing later than the one before.
    """
    common = torch.stack([readings.common(features, name) for name in ("buy", "sell")], -1)
    own = [readings.own(features, name) for name in ("net", "stored", "last_traded", "last_price")]
    reward = (readings.reward(features) / (readings.size * PRICE_SCALE)).float()
    # The reward of step t - 1 shows in the store and trade of step t.
    before = torch.cat([torch.zeros_like(own[0][:1]), reward])
    return common, torch.stack([torch.stack([own[0], own[1], last, before], -1) for last in own[2:]])


def trail(readings: Readings, features: Features) -> Trail:
    """Inputs and targets of whole days.

    Parameters
    ----------
    readings : Readings
        Of the game.
    features : Features
        Steps 0..T, the last one after the day, [T + 1, B, ...].

    Returns
    -------
    Trail
        Of B days.
    """
    common, personal = inputs(readings, features)
    quantity, price = (readings.own(features, name)[1:] for name in ("last_traded", "last_price"))
    return Trail(common[:-1], personal[:, :-1], torch.stack([quantity, price]), quantity != 0)


class WorldModel:
    """Forecasters of all groups, two nets each.

    Parameters
    ----------
    name : str
        ``lstm``, ``gru`` or ``transformer``.
    clusters : Tensor [N] int64
        Homes of one label share their two nets.
    steps : int
        Steps of a day.
    generator : torch.Generator
        Stream of initial weights and of the order of training.
    """

    def __init__(self, name: ModelName, clusters: Tensor, steps: int, generator: torch.Generator) -> None:
        self.name, self.clusters, self.generator = name, clusters, generator
        self.tables = of_like_size(clusters)
        self.nets = [
            nn.ModuleList(_net(name, len(table.members), steps, generator) for table in self.tables) for _ in TARGETS
        ]
        self.mean, self.scale = (
            torch.zeros(len(TARGETS), COMMON + PERSONAL),
            torch.ones(len(TARGETS), COMMON + PERSONAL),
        )
        self.target_mean, self.target_scale = torch.zeros(len(TARGETS)), torch.ones(len(TARGETS))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Of all nets, in a fixed order."""
        return [p for nets in self.nets for p in nets.parameters()]

    @property
    def clusters_modelled(self) -> int:
        """Number of groups, each with nets of its own."""
        return sum(len(table.members) for table in self.tables)

    def forward(
        self, place: int, common: Tensor, personal: Tensor, carried: Carried = None
    ) -> list[tuple[Tensor, Carried]]:
        """One target's nets, table by table, on unscaled inputs [T, D, .], [T, D, N, .].

        The first of each pair is standardised, [G, T, D, K, 1].
        """
        mean, scale = self.mean[place], self.scale[place]
        shared, own = (common - mean[:COMMON]) / scale[:COMMON], (personal - mean[COMMON:]) / scale[COMMON:]
        memory = [None] * len(self.tables) if carried is None else carried
        return [
            net(shared, _grouped(table, own), kept)
            for net, table, kept in zip(self.nets[place], self.tables, memory, strict=True)
        ]

    def standardise(self, days: Trail) -> None:
        """Fix all scales from days."""
        for place in range(len(TARGETS)):
            both = [days.common.flatten(0, 1), days.personal[place].flatten(0, 2)]
            self.mean[place] = torch.cat([x.mean(0) for x in both])
            self.scale[place] = torch.cat([x.std(0) for x in both]).clamp(min=1e-3)
            values = days.target[place][days.traded] if place else days.target[place]
            known = values.numel() > 1
            self.target_mean[place] = values.mean() if known else 0.0
            self.target_scale[place] = values.std().clamp(min=1e-3) if known else 1.0

    def state(self) -> dict[str, Any]:
        """Tensors and numbers for a checkpoint."""
        numbers = (self.mean, self.scale, self.target_mean, self.target_scale)
        return {
            "clusters": self.clusters,
            "nets": [p.detach().clone() for p in self.parameters],
            "numbers": [x.clone() for x in numbers],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same name and clusters."""
        with torch.no_grad():
            for mine, given in zip(self.parameters, state["nets"], strict=True):
                mine.copy_(given)
        self.mean, self.scale, self.target_mean, self.target_scale = (x.clone() for x in state["numbers"])


def _grouped(table: Groups, x: Tensor) -> Tensor:
    """[T, D, N, P] -> [G, T, D, K, P]."""
    return table.gather(x.flatten(0, 1)).unflatten(1, tuple(x.shape[:2]))


def _net(name: ModelName, groups: int, steps: int, generator: torch.Generator) -> nn.Module:
    if name == "transformer":
        return CausalTransformer(groups, COMMON, PERSONAL, 1, generator, steps + 1)
    return Recurrent(groups, COMMON, PERSONAL, 64, 1, generator, name, last=1.0)


def predict(
    model: WorldModel, common: Tensor, personal: Tensor, carried: Carried = None
) -> tuple[Tensor, Tensor, Carried]:
    """Forecast the trades of a stretch of steps from what is known in each of them.

    Parameters
    ----------
    model : WorldModel
        Fitted.
    common, personal : Tensor [T, D, 2], [2, T, D, N, 4]
        From `inputs`: a whole day, or the next step of a day.
    carried : any
        What the nets remember of the day so far; None at its start.

    Returns
    -------
    quantity : Tensor [T, D, N] float32
        Over the size of the home, + = bought.
    price : Tensor [T, D, N] float32
        Over ``PRICE_SCALE``; meant for the case that there is a trade.
    carried
        To go on with.
    """
    made, kept = [], []
    with torch.no_grad():
        for place in range(len(TARGETS)):
            parts = model.forward(place, common, personal[place], None if carried is None else carried[place])
            flat = torch.empty(personal.shape[1:4])
            for table, (out, _) in zip(model.tables, parts, strict=True):
                flat[..., table.agents] = table.scatter(out.flatten(1, 2))[..., 0].unflatten(0, common.shape[:2])
            made.append(flat * model.target_scale[place] + model.target_mean[place])
            kept.append([after for _, after in parts])
    return made[0], made[1], kept


def fit(
    model: WorldModel,
    days: Trail,
    size: Tensor,
    *,
    epochs: int = 50,
    rows: int = 256,
    rate: float = 1e-3,
    patience: int = 5,
) -> dict[str, float]:
    """Fit all nets; the last fifth of the days decides when to stop and measures the error.

    Parameters
    ----------
    model : WorldModel
        Goes on from its weights.
    days : Trail
        In the order of time.
    size : Tensor [N] kWh
        Of the homes, for errors in kWh.
    epochs : int
        At most so many passes.
    rows : int
        Homes and days in a batch, about.
    rate : float
        Of Adam.
    patience : int
        Epochs without improvement before it ends.

    Returns
    -------
    dict
        ``quantity_rmse`` kWh, ``price_rmse`` $/kWh (of steps with a trade), ``quantity_mape``, ``price_mape`` (shares,
        where the target is above 0.05), all on the last fifth, and the number of epochs.
    """
    cut = max(1, days.days - max(1, days.days // 5))
    early, late = days.of_days(torch.arange(cut)), days.of_days(torch.arange(min(cut, days.days - 1), days.days))
    model.standardise(early)
    optimizer = torch.optim.Adam(model.parameters, lr=rate, fused=True)
    best, kept, idle, done = float("inf"), model.state()["nets"], 0, 0
    per_batch = max(1, rows // model.tables[0].members.shape[1])
    while done < epochs and idle < patience:
        for part in torch.randperm(cut, generator=model.generator).split(per_batch):
            optimizer.zero_grad()
            _loss(model, early.of_days(part)).backward()
            optimizer.step()
        done += 1
        with torch.no_grad():
            now = float(_loss(model, late))
        idle += 1
        if now < best:
            best, kept, idle = now, copy.deepcopy([p.detach() for p in model.parameters]), 0
    with torch.no_grad():
        for mine, given in zip(model.parameters, kept, strict=True):
            mine.copy_(given)
    return errors(model, late, size) | {"model_epochs": float(done)}


def _loss(model: WorldModel, days: Trail) -> Tensor:
    """Huber loss, summed over groups and targets: a group's fit does not depend on the others."""
    total = torch.zeros(())
    for place in range(len(TARGETS)):
        target = ((days.target[place] - model.target_mean[place]) / model.target_scale[place]).unsqueeze(-1)
        counts = (days.traded if place else torch.ones_like(days.traded)).float().unsqueeze(-1)
        made = model.forward(place, days.common, days.personal[place])
        for table, (out, _) in zip(model.tables, made, strict=True):
            wrong = nn.functional.huber_loss(out, _grouped(table, target), reduction="none")
            weight = table.real[:, None, None, :, None].float() * _grouped(table, counts)
            total = total + ((wrong * weight).sum((1, 2, 3, 4)) / weight.sum((1, 2, 3, 4)).clamp(min=1)).sum()
    return total


def errors(model: WorldModel, days: Trail, size: Tensor) -> dict[str, float]:
    """Errors as in Table 3 of the source.

    Parameters
    ----------
    model : WorldModel
        Fitted.
    days : Trail
        That it was not fitted on.
    size : Tensor [N] kWh
        Of the homes.

    Returns
    -------
    dict
        See `fit`; NaN never: an error over nothing is 0.
    """
    quantity, price, _ = predict(model, days.common, days.personal)
    traded = days.traded
    off = {"quantity": (quantity - days.target[0]) * size, "price": ((price - days.target[1]) * PRICE_SCALE)[traded]}
    real = {"quantity": days.target[0] * size, "price": (days.target[1] * PRICE_SCALE)[traded]}
    found = {}
    for name, wrong in off.items():
        large = real[name].abs() > SMALL
        found[f"{name}_rmse"] = float(wrong.square().mean().sqrt()) if wrong.numel() else 0.0
        found[f"{name}_mape"] = float((wrong / real[name])[large].abs().mean()) if bool(large.any()) else 0.0
    return found


__all__ = ["ModelName", "Trail", "WorldModel", "errors", "fit", "inputs", "predict", "trail"]
