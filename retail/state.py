"""Where parallel days of the retail game stand, and what one step did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from torch import Tensor

from retail.equipment import Used
from retail.peak import Excess
from retail.tariff import Tariff


class Outlook(NamedTuple):
    """What of the features is known once day and tariff are.

    Attributes
    ----------
    common : Tensor [T, B, C] float32
        The same for all prosumers (scaled).
    dear_need : Tensor [T, B, N] float32
        Own need expected in later, dearer steps (scaled).
    """

    common: Tensor
    dear_need: Tensor


@dataclass(frozen=True)
class State:
    """Where B parallel days stand before a step.

    Attributes
    ----------
    step : int
        Step of the day, 0..T; T means over.
    days : Tensor [B] int64
        Day of the community that each row plays.
    tariff : Tariff [B, T]
        Prices of these days.
    arrival : Tensor [B, T, N] int64 or None
        Order of arrival in each step's auction; by position when None.
    stored : Tensor [B, N] kWh
        Stored energy.
    levels : Tensor [B, N, K] kWh
        Content of all other stores (``retail.equipment``).
    last_wh, last_cash : Tensor [B, N] int64 Wh, nano-currency
        Own trade of the step before.
    outlook : Outlook
        Features that no action changes; empty where nobody reads features.
    """

    step: int
    days: Tensor
    tariff: Tariff
    arrival: Tensor | None
    stored: Tensor
    levels: Tensor
    last_wh: Tensor
    last_cash: Tensor
    outlook: Outlook = field(repr=False)

    @property
    def arriving(self) -> Tensor | None:
        """Order of arrival in the auction of this step, Tensor [B, N] int64; by position when None."""
        return None if self.arrival is None else self.arrival[:, self.step]


@dataclass(frozen=True)
class Outcome:
    """What one step did; all Tensor [B, N].

    Attributes
    ----------
    net : kWh
        At the meter, + = import.
    store_change : kWh
        Executed, store side, + = charge.
    order_tick : int64 ticks
        Limit price of the order.
    trade_wh, trade_cash : int64 Wh, nano-currency
        Peer-to-peer trade, + = bought, paid; sums over N are exactly 0.
    fee_cash : int64 nano-currency
        Network fee on peer-to-peer energy, paid by the buyer.
    grid : kWh
        Rest that settles at the tariff, + = import.
    bill : $
        Cash cost: peers, fee, grid, fuel, peak.
    wear : $
        Non-cash cost of wear.
    shortfall : $
        Charge for a store that did not return to its start, last step only.
    end_value : $
        Value of the change of stored energy over the day under ``storage_end: value``, last step only (+ = gain).
    reward : $
        What a learner maximises; see ``Game.reward``.
    used : Used or None
        What devices other than the battery did; None where there are none.
    peak : Excess or None
        What the peak cost; None without a cap.
    """

    net: Tensor
    store_change: Tensor
    order_tick: Tensor
    trade_wh: Tensor
    trade_cash: Tensor
    fee_cash: Tensor
    grid: Tensor
    bill: Tensor
    wear: Tensor
    shortfall: Tensor
    end_value: Tensor
    reward: Tensor
    used: Used | None = None
    peak: Excess | None = None

    @property
    def cost(self) -> Tensor:
        """Everything that counts, Tensor [B, N] $: bill + wear + shortfall - end value + value of unserved energy."""
        cost = self.bill + self.wear + self.shortfall - self.end_value
        return cost if self.peak is None else cost + self.peak.lost


def combine(outcomes: Sequence[Outcome], join: Callable[[list[Tensor]], Tensor]) -> Outcome:
    """Put outcomes together, field by field.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of one game, so that all hold the same fields.
    join : callable
        Stacks or concatenates a list of tensors.

    Returns
    -------
    Outcome
        Units untouched.
    """
    joined = {f.name: _combined([getattr(o, f.name) for o in outcomes], join) for f in fields(Outcome)}
    return Outcome(**joined)


def _combined(parts: list[Any], join: Callable[[list[Tensor]], Tensor]) -> Any:
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return join(parts)
    return type(first)(*(_combined(list(column), join) for column in zip(*parts, strict=True)))


def day_record(outcome: Outcome, steps: int) -> Outcome:
    """Room for all steps of a day.

    Parameters
    ----------
    outcome : Outcome of Tensor [B, ...]
        Of any step.
    steps : int
        T.

    Returns
    -------
    Outcome of Tensor [B, T, ...]
        Not yet written.
    """
    return combine([outcome], lambda parts: parts[0].new_empty(len(parts[0]), steps, *parts[0].shape[1:]))


def write_step(record: Outcome, outcome: Outcome, step: int) -> None:
    """Write one step into a record.

    Parameters
    ----------
    record : Outcome of Tensor [B, T, ...]
        From ``day_record``; changed.
    outcome : Outcome of Tensor [B, ...]
        Units untouched.
    step : int
        0..T-1.
    """

    def put(parts: list[Tensor]) -> Tensor:
        parts[0][:, step] = parts[1]
        return parts[0]

    combine([record, outcome], put)
