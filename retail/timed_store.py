"""Stores whose limits depend on the clock: electric vehicles, deferrable loads. Pure functions on tensors [..., N]."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

TOLERANCE = 1e-9


@dataclass(frozen=True)
class TimedStore:
    """Energy that must be in a store by certain hours, one store per prosumer; a rating of 0 all day means none.

    In step t the store gains ``x`` (loses, if negative) and ``drain`` leaves it for its purpose: driving, or the
    service of a deferred load. Its content after the step lies between ``floor`` and ``ceiling``. Whatever an action
    asks, a move is projected so that all later floors and ceilings can still be met (``reachable``), and a day ends
    where it began.

    Parameters
    ----------
    name : str
        Of the device and of its head in an action.
    charge, discharge : Tensor [D or 1, T, N] float64 kWh per step
        Largest gain and loss of the store, store side, at least 0; 0 while a vehicle is away.
    drain : Tensor [D or 1, T, N] float64 kWh per step
        At least 0.
    floor, ceiling : Tensor [D or 1, T, N] float64 kWh
        Limits of the content after each step.
    start : Tensor [N] float64 kWh
        Content at the start and at the end of a day.
    eta_charge, eta_discharge : Tensor [N] float64
        One-way efficiencies in (0, 1].
    """

    name: str
    charge: Tensor
    discharge: Tensor
    drain: Tensor
    floor: Tensor
    ceiling: Tensor
    start: Tensor
    eta_charge: Tensor
    eta_discharge: Tensor

    @property
    def rating(self) -> Tensor:
        """Largest gain or loss in any step, Tensor [N] kWh."""
        return torch.maximum(self.charge, self.discharge).amax((0, 1))

    @property
    def has(self) -> Tensor:
        """Who owns one, Tensor [N] bool."""
        return self.rating > 0

    def mistakes(self, names: tuple[str, ...], days: int, steps: int) -> list[str]:
        """What cannot be, one sentence each.

        Parameters
        ----------
        names : tuple of str
            Of the prosumers.
        days, steps : int
            Of the community.

        Returns
        -------
        list of str
            Empty if all is well; values in kWh.
        """
        homes = len(names)
        for field in fields(self)[1:]:
            value, rank = getattr(self, field.name), tuple(getattr(self, field.name).shape)
            fits = rank == (homes,) if field.name in ("start", "eta_charge", "eta_discharge") else False
            if not fits and not (len(rank) == 3 and rank[0] in (1, days) and rank[1:] == (steps, homes)):
                return [
                    f"{self.name}.{field.name} has shape {rank}; it needs [{homes}] or [1 or {days}, {steps}, {homes}]."
                ]
            if not bool(torch.isfinite(value).all()):
                return [f"{self.name}.{field.name} holds a value that is not a number; fill every entry."]
        low, high = reachable(self)
        ends = (low[:, 0], high[:, 0])
        bad = (self.start < ends[0] - TOLERANCE) | (self.start > ends[1] + TOLERANCE)
        if not bool(bad.any()):
            return []
        day, who = (int(i) for i in bad.nonzero()[0])
        return [
            f"{self.name} of {names[who]} starts day {day} with {float(self.start[who]):g} kWh, but only "
            f"{float(ends[0][day, who]):g} to {float(ends[1][day, who]):g} kWh allow what is due that day; change its "
            "start, rating, hours or energy."
        ]


def reachable(store: TimedStore) -> tuple[Tensor, Tensor]:
    """Least and largest content before each step (and after the last) from which the rest of the day can be met.

    Parameters
    ----------
    store : TimedStore
        Limits in kWh.

    Returns
    -------
    low, high : Tensor [D or 1, T + 1, N] kWh
        By backward recursion; the end of the day is ``start``.
    """
    steps = store.charge.shape[1]
    shape = torch.broadcast_shapes(*(getattr(store, f).shape for f in ("charge", "discharge", "drain", "floor")))
    low, high = [store.start.expand(shape[0], -1)], [store.start.expand(shape[0], -1)]
    for t in reversed(range(steps)):
        least = torch.maximum(low[0], store.floor[:, t])
        most = torch.minimum(high[0], store.ceiling[:, t])
        low.insert(0, least + store.drain[:, t] - store.charge[:, t])
        high.insert(0, most + store.drain[:, t] + store.discharge[:, t])
    return torch.stack(low, 1), torch.stack(high, 1)


@dataclass(frozen=True)
class Limits:
    """A timed store with its reachable range, by day and step.

    Attributes
    ----------
    store : TimedStore
        The device.
    low, high : Tensor [D or 1, T, N] kWh
        Content after each step that keeps the rest of the day possible.
    """

    store: TimedStore
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, store: TimedStore) -> Limits:
        """Work out the reachable range (kWh) of a store."""
        low, high = reachable(store)
        return cls(store, torch.maximum(low[:, 1:], store.floor), torch.minimum(high[:, 1:], store.ceiling))

    def range(self, content: Tensor, days: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Least and largest change of the content before the drain, each [B, N] kWh.

        Parameters
        ----------
        content : Tensor [B, N] kWh
            Before the step.
        days : Tensor [B] int64
            Days of the community.
        step : int
            Of the day.
        """
        rest = content - _on(self.store.drain, days, step)
        low = torch.maximum(-_on(self.store.discharge, days, step), _on(self.low, days, step) - rest)
        high = torch.minimum(_on(self.store.charge, days, step), _on(self.high, days, step) - rest)
        return torch.minimum(low, high), high

    def move(self, content: Tensor, days: Tensor, step: int, wish: Tensor | None, raw: bool = False) -> Tensor:
        """Projected change of the content before the drain.

        Parameters
        ----------
        content : Tensor [B, N] kWh
            Before the step.
        days : Tensor [B] int64
            Days of the community.
        step : int
            Of the day.
        wish : Tensor [B, N], optional
            What is asked for beyond charging as soon as possible, in units of the rating; nothing when absent.
        raw : bool
            Whether the wish is the whole change.

        Returns
        -------
        Tensor [B, N] kWh
            Store side, + charges.
        """
        low, high = self.range(content, days, step)
        if wish is None:
            return high
        asked = wish.double() * self.store.rating + (0 if raw else high)
        return torch.minimum(torch.maximum(asked, low), high)

    def after(self, content: Tensor, change: Tensor, days: Tensor, step: int) -> Tensor:
        """Content after the step, Tensor [B, N] kWh: before + change - drain."""
        return content + change - _on(self.store.drain, days, step)


def meter_energy(change: Tensor, store: TimedStore) -> Tensor:
    """Energy at the meter for a change of content.

    Parameters
    ----------
    change : Tensor [..., N] kWh
        Store side, + charges.
    store : TimedStore
        Efficiencies [N].

    Returns
    -------
    Tensor [..., N] kWh
        + = drawn from the meter.
    """
    return torch.where(change > 0, change / store.eta_charge, change * store.eta_discharge)


def _on(table: Tensor, days: Tensor, step: int) -> Tensor:
    return table[:, step] if table.shape[0] == 1 else table[days, step]
