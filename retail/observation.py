"""What a prosumer sees: named features, scaled by constants that are the same in training and on held-out days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from retail.community import Battery, Community
from retail.device_features import device_feature_names, device_features
from retail.devices import by_sign
from retail.equipment import Equipment
from retail.forecast import mean_of_last_days
from retail.orders import NANO_PER_TICK_WH
from retail.state import Outlook, State
from retail.tariff import TICKS_PER_UNIT, Tariff

Public = Literal["this_step", "last_step", "none"]
AHEAD = 3
"""Steps ahead for which price and expected net load are shown."""

PRICE_SCALE = 0.25
"""$/kWh that count as 1 in the features."""

EXPECTATIONS = ("expected_net", "expected_surplus", "expected_need", "today_against_expected")
OWN = ("net", "load", "pv", *EXPECTATIONS)
STATIC = ("size", "storage", "installed_pv", "has_storage")
PRIVATE = ("stored", "stored_above_start", "could_offset", "last_traded", "last_price")
PUBLIC = ("last_volume", "last_volume_price")


def _ahead(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_in_{k}" for k in range(1, AHEAD + 1))


class Features(NamedTuple):
    """Observations of all prosumers; what is common to them is stored once, which nets and memory both gain from.

    Attributes
    ----------
    common : Tensor [..., C] float32
        The same for all prosumers (scaled).
    personal : Tensor [..., N, P] float32
        Of each prosumer (scaled).
    """

    common: Tensor
    personal: Tensor

    @property
    def flat(self) -> Tensor:
        """One row per prosumer, Tensor [..., N, C + P] float32."""
        common = self.common.unsqueeze(-2).expand(*self.personal.shape[:-1], self.common.shape[-1])
        return torch.cat([common, self.personal], -1)


@dataclass(frozen=True)
class Observer:
    """Builds observations of one community; all tables that need no tariff are made once.

    Parameters
    ----------
    community : Community
        Homes and profiles.
    public : str
        Which net position of the community is known when acting: of ``this_step``, of the ``last_step`` or ``none``.
    scale_days : Tensor [S] int64, optional
        Days whose profiles set the scales (training days); all when absent.
    equipment : Equipment, optional
        Devices besides the battery; their own rule belongs to the net load that is shown.
    """

    community: Community
    public: Public = "this_step"
    scale_days: Tensor | None = None
    equipment: Equipment | None = None

    def __post_init__(self) -> None:
        c = self.community
        load, pv = c.daily(c.load), c.daily(c.pv)
        if self._devices is not None:
            load = load + self._devices.usual.use
        fixed = load - pv
        shown = fixed if self.scale_days is None else fixed[self.scale_days]
        size = _quantile(shown.abs().flatten(0, 1)).clamp(min=0.05)
        expected = mean_of_last_days(load) - mean_of_last_days(pv)
        own = [fixed / size, load / size, pv / size, *_expectations(fixed, expected, size)]
        pooled_fixed, pooled_expected = fixed.mean(-1), expected.mean(-1)
        tables = {
            "size": size,
            "expected": expected,
            "own": torch.stack([x.float() for x in own]).permute(2, 0, 1, 3).contiguous(),
            "private": _scales(c.battery, size),
            "pooled": self._pooled(pooled_fixed, pooled_expected, size.mean()),
            "pooled_net": (pooled_fixed / size.mean()).float(),
            "need": _need(expected, size),
            "pooled_need": _need(pooled_expected.unsqueeze(-1), size.mean()),
            "static": _static(c, size).float(),
            "calendar": _calendar(c).float(),
        }
        object.__setattr__(self, "_tables", tables)

    def _pooled(self, fixed: Tensor, expected: Tensor, size: Tensor) -> Tensor:
        """Expectations of the community [days, T, 7]; how today differs so far stops where the public net stops."""
        every = _expectations(fixed, expected, size)
        if self.public != "this_step":
            place = EXPECTATIONS.index("today_against_expected")
            every[place] = torch.cat([torch.zeros_like(every[place][:, :1]), every[place][:, :-1]], 1)
        return torch.stack(every, -1).float()

    @property
    def size(self) -> Tensor:
        """Static size of each home, 95 % quantile of |net load|, Tensor [N] kWh per step."""
        return self._table("size")

    @property
    def expected(self) -> Tensor:
        """Expected inflexible net load, Tensor [days, T, N] kWh, from earlier days only."""
        return self._table("expected")

    @property
    def common_names(self) -> tuple[str, ...]:
        """Names of the features that are the same for all prosumers, which come first."""
        known = (*EXPECTATIONS, *_ahead("expected_net"), "expected_dear_need") if self.public != "none" else ()
        shown = [f"community_{n}" for n in known]
        shown += ["buy", "sell", *_ahead("buy"), "buy_mean_later", "buy_max_later", "buy_min_later"]
        shown += [f"hour_{h}" for h in range(24)] + ["hour_sin", "hour_cos", "year_sin", "year_cos", "weekend"]
        return (*shown, *(("community_net", *PUBLIC) if self.public != "none" else ()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all F features, in order."""
        devices = () if self._devices is None else device_feature_names(self._devices)
        return (*self.common_names, *OWN, *_ahead("expected_net"), *STATIC, "expected_dear_need", *PRIVATE, *devices)

    def outlook(self, days: Tensor, tariff: Tariff) -> Outlook:
        """Work out what day and tariff decide, for all steps at once.

        Parameters
        ----------
        days : Tensor [B] int64
            Days of the community.
        tariff : Tariff [B, T]
            Prices known for the day.

        Returns
        -------
        Outlook
            Scaled features.
        """
        dearer = _dearer(tariff.buy)
        dear_need = torch.bmm(dearer, self._table("need").index_select(0, days))
        parts = [torch.stack(_prices(tariff), -1), self._table("calendar")[days]]
        if self.public != "none":
            pooled_need = torch.bmm(dearer, self._table("pooled_need")[days])
            parts = [self._table("pooled")[days], pooled_need, *parts, self._public_net(days)]
        return Outlook(torch.cat(parts, -1).transpose(0, 1).contiguous(), dear_need.transpose(0, 1))

    def _public_net(self, days: Tensor) -> Tensor:
        """Net load of the community as far as it is public, [B, T, 1]."""
        net = self._table("pooled_net")[days]
        if self.public == "last_step":
            net = torch.cat([torch.zeros_like(net[:, :1]), net[:, :-1]], dim=1)
        return net.unsqueeze(-1)

    def look(self, state: State, fixed: Tensor) -> Features:
        """Features of one step.

        Parameters
        ----------
        state : State
            Of B days.
        fixed : Tensor [B, N] kWh
            Inflexible net load of the step.

        Returns
        -------
        Features
            Named in ``names``, common ones first.
        """
        step = min(state.step, self.community.steps - 1)
        common = state.outlook.common[step]
        if self.public != "none":
            common = torch.cat([common, torch.stack(self._last_market(state), -1).float()], -1)
        own, static = self._table("own"), self._table("static")
        known, fixed_rows = own.shape[1], own.shape[1] + static.shape[1]
        devices = [] if self._devices is None else device_features(self._devices, state)
        personal = (state.outlook.dear_need[step], *self._private(state, fixed), *devices)
        # Feature by feature is how rows are copied at full speed; the view puts the features last.
        rows = torch.empty(fixed_rows + len(personal), *state.stored.shape)
        torch.index_select(own[step], 1, state.days, out=rows[:known])
        rows[known:fixed_rows] = static.T[:, None]
        for place, values in enumerate(personal, fixed_rows):
            rows[place] = values
        return Features(common, rows.permute(1, 2, 0))

    def _private(self, state: State, fixed: Tensor) -> tuple[Tensor, ...]:
        least, most, start, per_room, per_size, into, out = self._table("private")
        stored, wh = state.stored.float(), state.last_wh.float()
        need = fixed.float()
        offset = by_sign(need, out, into)
        offset = torch.clamp(offset, least - stored, most - stored)
        worth = wh * (NANO_PER_TICK_WH * PRICE_SCALE * TICKS_PER_UNIT)
        # Without a trade both are 0, and so shall be the price.
        price = state.last_cash.float() / worth.add_(1 - wh.abs().clamp_(max=1))
        above = (stored - start) * per_room
        return (stored - least) * per_room, above, offset * per_size, wh * (per_size / 1000), price

    def _last_market(self, state: State) -> tuple[Tensor, Tensor]:
        """Volume and mean price of the last auction, each [B]."""
        bought, paid = state.last_wh.clamp(min=0).sum(-1).double(), state.last_cash.clamp(min=0).sum(-1).double()
        volume = bought / (1000 * self.community.prosumers * self._table("size").mean())
        return volume, paid / (bought * NANO_PER_TICK_WH).clamp(min=1) / (PRICE_SCALE * TICKS_PER_UNIT)

    @property
    def _devices(self) -> Equipment | None:
        return self.equipment if self.equipment is not None and self.equipment.present else None

    def _table(self, name: str) -> Tensor:
        tables: dict[str, Tensor] = self.__dict__["_tables"]
        return tables[name]


def _scales(battery: Battery, size: Tensor) -> Tensor:
    """What private features are made with, float32 [7, N]: limits, start, scales, and self-consumption per kWh."""
    per_room = 1 / battery.capacity.clamp(min=1e-9) * battery.has
    parts = (battery.store_min, battery.store_max, battery.start, per_room, 1 / size)
    return torch.stack([*parts, -battery.eta_charge, -1 / battery.eta_discharge]).float()


def _quantile(rows: Tensor) -> Tensor:
    """95 % quantile of each column; by sorting, since torch.quantile refuses large inputs."""
    ordered = rows.sort(dim=0).values
    place = 0.95 * (len(rows) - 1)
    low = int(place)
    high = min(low + 1, len(rows) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _expectations(fixed: Tensor, expected: Tensor, size: Tensor) -> list[Tensor]:
    """Expected net load now, what is left of the day, how today differs so far, net load soon; each [days, T, ...]."""
    day = 24 / fixed.shape[1] / (4 * size)
    rest = [_later_sum(x) * day for x in ((-expected).clamp(min=0), expected.clamp(min=0))]
    miss = (fixed - expected).cumsum(1) * day
    last = expected[:, -1:]
    soon = [torch.cat([expected[:, k:], *[last] * k], 1) / size for k in range(1, AHEAD + 1)]
    return [expected / size, *rest, miss, *soon]


def _need(expected: Tensor, size: Tensor) -> Tensor:
    """Expected need in units of a quarter of a day at full size, float32 [days, T, N]."""
    return (expected.clamp(min=0) * (24 / expected.shape[1] / 4 / size)).float()


def _later_sum(x: Tensor) -> Tensor:
    return x.flip(1).cumsum(1).flip(1) - x


def _dearer(buy: Tensor) -> Tensor:
    """Which later steps [B, T, S] are dearer than step t, as float32."""
    later = torch.ones(buy.shape[-1], buy.shape[-1], dtype=torch.bool).triu(1)
    return ((buy[:, None, :] > buy[:, :, None]) & later).float()


def _prices(tariff: Tariff) -> list[Tensor]:
    scale = PRICE_SCALE * TICKS_PER_UNIT
    buy, sell = (tariff.buy / scale).float(), (tariff.sell / scale).float()
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
