"""What a prosumer sees: named features, scaled by constants that are the same in training and on held-out days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from retail.community import Community
from retail.forecast import mean_of_last_days
from retail.tariff import TICKS_PER_UNIT, Tariff

Public = Literal["this_step", "last_step", "none"]
AHEAD = 3
"""Steps ahead for which price and expected net load are shown."""

PRICE_SCALE = 0.25
"""$/kWh that count as 1 in the features."""

OWN = (
    "net",
    "load",
    "pv",
    "expected_net",
    "expected_surplus",
    "expected_need",
    "expected_dear_need",
    "today_against_expected",
)
POOLED = ("expected_net", "expected_surplus", "expected_need", "expected_dear_need", "today_against_expected")
PRIVATE = ("stored", "stored_above_start", "could_offset", "last_traded", "last_price")
PUBLIC = ("last_volume", "last_volume_price")
STATIC = ("size", "storage", "installed_pv", "has_storage")


def _ahead(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_in_{k}" for k in range(1, AHEAD + 1))


@dataclass(frozen=True)
class Observer:
    """Builds observations of one community; all tables are made once.

    Parameters
    ----------
    community : Community
        Homes and profiles.
    public : str
        Which net position of the community is known when acting: of ``this_step``, of the ``last_step`` or ``none``.
    scale_days : Tensor [S] int64, optional
        Days whose profiles set the scales (training days); all when absent.
    """

    community: Community
    public: Public = "this_step"
    scale_days: Tensor | None = None

    def __post_init__(self) -> None:
        c = self.community
        fixed = c.daily(c.fixed)
        shown = fixed if self.scale_days is None else fixed[self.scale_days]
        size = torch.quantile(shown.abs().flatten(0, 1), 0.95, dim=0).clamp(min=0.05)
        load, pv = c.daily(c.load), c.daily(c.pv)
        expected = mean_of_last_days(load) - mean_of_last_days(pv)
        tables = {
            "size": size,
            "fixed": fixed,
            "load": load,
            "pv": pv,
            "expected": expected,
            "static": _static(c, size),
            "calendar": _calendar(c),
        }
        object.__setattr__(self, "_tables", tables)

    @property
    def size(self) -> Tensor:
        """Static size of each home, 95 % quantile of |net load|, Tensor [N] kWh per step."""
        return self._table("size")

    @property
    def expected(self) -> Tensor:
        """Expected inflexible net load, Tensor [days, T, N] kWh, from earlier days only."""
        return self._table("expected")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        exogenous = [*OWN, *_ahead("expected_net")]
        exogenous += [f"community_{n}" for n in (*POOLED, *_ahead("expected_net"))]
        exogenous += ["buy", "sell", *_ahead("buy"), "buy_mean_later", "buy_max_later", "buy_min_later"]
        if self.public != "none":
            exogenous.append("community_net")
        exogenous += [f"hour_{h}" for h in range(24)] + ["hour_sin", "hour_cos", "year_sin", "year_cos", "weekend"]
        private = [*PRIVATE, *(PUBLIC if self.public != "none" else ())]
        return (*exogenous, *STATIC, *private)

    @property
    def personal(self) -> Tensor:
        """Positions of the features that differ between prosumers, Tensor int64; the others are common to all."""
        own = {*OWN, *_ahead("expected_net"), *STATIC, *PRIVATE}
        return torch.tensor([i for i, name in enumerate(self.names) if name in own])

    def exogenous(self, days: Tensor, tariff: Tariff) -> Tensor:
        """All features that no action changes, for a whole day at once.

        Parameters
        ----------
        days : Tensor [B] int64
            Days of the community.
        tariff : Tariff [B, T]
            Prices known for the day.

        Returns
        -------
        Tensor [T, B, N, F] float32
            Scaled features.
        """
        size = self._table("size")
        mean_size = size.mean()
        fixed, expected = self._table("fixed")[days], self._table("expected")[days]
        own = [fixed / size, self._table("load")[days] / size, self._table("pv")[days] / size]
        own += _expectations(fixed, expected, tariff, size)
        pooled = _expectations(fixed.mean(-1, keepdim=True), expected.mean(-1, keepdim=True), tariff, mean_size)
        shared = [*pooled, *_prices(tariff)]
        if self.public != "none":
            net = fixed.mean(-1) / mean_size
            if self.public == "last_step":
                net = torch.cat([torch.zeros_like(net[:, :1]), net[:, :-1]], dim=1)
            shared.append(net)
        batch, steps, homes = fixed.shape
        shared = [s.squeeze(-1) if s.dim() == 3 else s for s in shared]
        calendar = self._table("calendar")[days]
        common = torch.cat([torch.stack(shared, -1), calendar], -1)[:, :, None].expand(batch, steps, homes, -1)
        static = self._table("static").expand(batch, steps, homes, -1)
        every = torch.cat([torch.stack(own, -1), common, static], -1)
        return every.transpose(0, 1).to(torch.float32).contiguous()

    def _table(self, name: str) -> Tensor:
        tables: dict[str, Tensor] = self.__dict__["_tables"]
        return tables[name]


def _expectations(fixed: Tensor, expected: Tensor, tariff: Tariff, size: Tensor) -> list[Tensor]:
    """Expected net load now and soon, what is left of the day, and how today differs so far; each [B, T, N]."""
    surplus, need = (-expected).clamp(min=0), expected.clamp(min=0)
    day = 24 / fixed.shape[1] / (4 * size)
    rest = [_later_sum(x) * day for x in (surplus, need)]
    buy = tariff.buy
    later = torch.ones(buy.shape[-1], buy.shape[-1], dtype=torch.bool).triu(1)
    dearer = (buy[:, None, :] > buy[:, :, None]) & later
    dear_need = torch.einsum("bts,bsn->btn", dearer.to(need.dtype), need) * day
    miss = (fixed - expected).cumsum(1) * day
    soon = [torch.cat([expected[:, k:], expected[:, -1:].expand(-1, k, -1)], 1) / size for k in range(1, AHEAD + 1)]
    return [expected / size, *rest, dear_need, miss, *soon]


def _later_sum(x: Tensor) -> Tensor:
    return x.flip(1).cumsum(1).flip(1) - x


def _prices(tariff: Tariff) -> list[Tensor]:
    scale = PRICE_SCALE * TICKS_PER_UNIT
    buy, sell = tariff.buy / scale, tariff.sell / scale
    soon = [torch.cat([buy[:, k:], buy[:, -1:].expand(-1, k)], 1) for k in range(1, AHEAD + 1)]
    back = buy.flip(1)
    count = torch.arange(1, buy.shape[1] + 1, dtype=buy.dtype)
    mean = (back.cumsum(1) / count).flip(1)
    return [buy, sell, *soon, mean, back.cummax(1).values.flip(1), back.cummin(1).values.flip(1)]


def _calendar(c: Community) -> Tensor:
    """Hour one-hot and circle, season, weekend: Tensor [days, T, 29]."""
    minutes = torch.from_numpy((c.clock - c.clock.astype("datetime64[D]")).astype("int64"))
    date = c.clock.astype("datetime64[D]")
    day_of_year = torch.from_numpy((date - date.astype("datetime64[Y]").astype("datetime64[D]")).astype("int64"))
    weekend = torch.from_numpy(((date.astype("int64") + 3) % 7 >= 5).astype("float64"))
    hour = torch.nn.functional.one_hot(minutes // 60, 24).double()
    clock = minutes / (24 * 60) * 2 * torch.pi
    season = day_of_year / 365.25 * 2 * torch.pi
    circles = torch.stack([clock.sin(), clock.cos(), season.sin(), season.cos(), weekend], -1)
    return c.daily(torch.cat([hour, circles], -1))


def _static(c: Community, size: Tensor) -> Tensor:
    mean_size, capacity = size.mean(), c.battery.capacity
    parts = (size / mean_size, capacity / (8 * size), c.pv_kwp / (2 * size), c.battery.has.double())
    return torch.stack(parts, -1)
