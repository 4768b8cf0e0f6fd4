"""Who paid whom: a double-entry ledger in integers, in which every step sums to exactly zero over all accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aggregator.meter import Meter
from aggregator.prosumers import Array
from aggregator.two_settlement import PARTIES, Payments, two_settlement
from retail.tariff import Tariff
from wholesale import settlement
from wholesale.market import Bid, Clearing

Nano = NDArray[np.int64]
NANO = 1_000_000_000
NANO_PER_TICK = 10_000
OTHERS = ("aggregator", "network", "levies", "generators", "other_loads", "congestion_rent", "imbalance", "fuel")
PARTS = ("energy", "network", "levy", "fee", "peer", "feed_in", "shortfall", "heat", "fuel", "peak")
RENT_TOLERANCE = 1e-6
LARGEST = 9.0e9


class LedgerError(ValueError):
    """Money was lost, made or cannot be booked; the message names the step and the difference."""


@dataclass(frozen=True)
class Ledger:
    """All payments of S steps in nano-currency (1e-9 $); + = paid.

    Attributes
    ----------
    accounts : tuple of str
        ``prosumer 0`` ... ``prosumer N-1``, then ``aggregator, network, levies, generators, other_loads,
        congestion_rent, imbalance`` (what two-price settlement takes beyond one price; it belongs to the operator) and
        ``fuel`` (the gas utility).
    nano : array [S, A] int64
        Net payment of each account, of all ``replication`` communities. Every row sums to 0.
    replication : int
        Number of equal communities; a prosumer's account divides by it exactly.
    energy, network, levy, fee, peer, feed_in, shortfall, heat, fuel, peak : array [S, N] int64
        What one prosumer of one community paid (-: received), by purpose; ``heat`` to peers for any thermal carrier.
    retail_revenue : array [S] int64
        What the aggregator received from all communities (energy price and shortfalls, less feed-in payments).
    wholesale_day_ahead, wholesale_real_time : array [S] int64
        What the aggregator paid in the wholesale market for all communities (-: received).
    """

    accounts: tuple[str, ...]
    nano: Nano
    replication: int
    energy: Nano
    network: Nano
    levy: Nano
    fee: Nano
    peer: Nano
    feed_in: Nano
    shortfall: Nano
    heat: Nano
    fuel: Nano
    peak: Nano
    retail_revenue: Nano
    wholesale_day_ahead: Nano
    wholesale_real_time: Nano

    @property
    def prosumers(self) -> int:
        """Number of prosumers N of one community."""
        return len(self.accounts) - len(OTHERS)

    @property
    def paid(self) -> Nano:
        """Net payment of each prosumer of one community, array [S, N] int64 nano."""
        return self.nano[:, : self.prosumers] // self.replication

    @property
    def profit(self) -> Array:
        """Profit of the aggregator per one community, array [S] $."""
        return -self.nano[:, self.accounts.index("aggregator")] / (NANO * self.replication)

    def total(self, account: str) -> float:
        """Net payment of an account over all steps and communities.

        Parameters
        ----------
        account : str
            One of ``accounts``.

        Returns
        -------
        float
            $, + = paid.

        Raises
        ------
        LedgerError
            If there is no such account.
        """
        if account not in self.accounts:
            raise LedgerError(f"There is no account {account!r}; the ledger has {', '.join(self.accounts)}.")
        return float(int(self.nano[:, self.accounts.index(account)].sum()) / NANO)

    def check(self) -> None:
        """Hold the books against themselves.

        Raises
        ------
        LedgerError
            If a step does not sum to exactly 0, or an account is not the sum of its parts.
        """
        _zero(self.nano.sum(axis=1), "The accounts")
        parts = sum((getattr(self, name) for name in PARTS), np.zeros_like(self.energy))
        _zero((self.nano[:, : self.prosumers] - self.replication * parts).sum(axis=1), "Prosumers and their parts")
        wrong = np.abs(self.nano[:, : self.prosumers] - self.replication * parts)
        _zero(wrong.sum(axis=1), "Some prosumer's account and its parts")
        own = self.wholesale_day_ahead + self.wholesale_real_time - self.retail_revenue
        _zero(self.nano[:, self.accounts.index("aggregator")] - own, "The aggregator's account and its parts")


def settle(
    *,
    trade_cash: Any,
    fee_cash: Any,
    grid_kwh: Any,
    tariff: Tariff,
    shortfall: ArrayLike = 0.0,
    heat_cash: Any = 0,
    fuel: ArrayLike = 0.0,
    peak: ArrayLike = 0.0,
    meter: Meter | None = None,
    bus: str | None = None,
    day_ahead: Clearing | None = None,
    bid: Bid | ArrayLike | None = None,
    real_time: Clearing | None = None,
    unit_bus: ArrayLike | None = None,
    two_price: bool = False,
) -> Ledger:
    """Book S steps of one community (standing for k equal ones) and of the wholesale market.

    Every transfer (payer, payee, amount) is rounded once, so each step sums to exactly zero. Retail amounts are rounded
    for one community and then multiplied by k.

    Parameters
    ----------
    trade_cash : array [S, N] int64 nano
        Payments between peers, + = paid; each step sums to 0.
    fee_cash : array [S, N] int64 nano
        Fees on traded energy, paid to the network, >= 0.
    grid_kwh : array [S, N] kWh per step
        Residual settled at the tariff, + = import.
    tariff : Tariff ([S], or [D, T] with D * T = S)
        Prices of these steps.
    shortfall : array [S, N] $
        Charge for a store that could not be restored, paid to the aggregator, >= 0.
    heat_cash : array [S, N] int64 nano
        Payments between peers for heat and cold, + = paid; each step sums to 0.
    fuel, peak : array [S, N] $
        Paid to the gas utility, and to the network for the peak of the community.
    meter : Meter, optional
        Replication and step length; default one community, one hour.
    bus : str, optional
        The aggregator's bus.
    day_ahead, real_time : Clearing, optional
        Both over the same S steps; neither: no wholesale transfers.
    bid : Bid or array [S] MW, optional
        Position of the aggregator cleared day-ahead, + = withdrawal; default: all that ``day_ahead`` accepted.
    unit_bus : array of int [unit], optional
        Position of each unit's bus in ``Clearing.buses`` (``System.unit_bus``); needed with several buses.
    two_price : bool
        Whether the aggregator's deviation settles at the worse of day-ahead and real-time price; the difference goes to
        the account ``imbalance``. Generators and other loads settle at the real-time price.

    Returns
    -------
    Ledger
        Already checked.

    Raises
    ------
    LedgerError
        If an input does not fit, peer payments do not sum to 0, or the congestion rent that is left over is not what
        the line flows say.
    """
    meter = meter or Meter()
    kwh = np.asarray(grid_kwh, dtype=np.float64)
    given = {"peer": trade_cash, "fee": fee_cash, "heat": np.broadcast_to(heat_cash, kwh.shape)}
    part = _parts(kwh, tariff, given, {"shortfall": shortfall, "fuel": fuel, "peak": peak})
    k, steps, prosumers = meter.replication, len(kwh), kwh.shape[1]
    everything = sum(np.abs(amount).sum() / NANO for amount in part.values())
    if k * everything > LARGEST:
        raise LedgerError(
            f"{k} communities pay {k * everything:.3g} $ in all; the ledger counts up to {LARGEST:.0e} $. Lower "
            "wholesale.replication or settle fewer days at once."
        )
    accounts = (*(f"prosumer {n}" for n in range(prosumers)), *OTHERS)
    nano = np.zeros((steps, len(accounts)), np.int64)
    nano[:, :prosumers] = k * sum(part.values())
    column = {name: accounts.index(name) for name in OTHERS}
    retail = k * (part["energy"] + part["feed_in"] + part["shortfall"]).sum(axis=1)
    nano[:, column["aggregator"]] -= retail
    nano[:, column["network"]] -= k * (part["network"] + part["fee"] + part["peak"]).sum(axis=1)
    nano[:, column["levies"]] -= k * part["levy"].sum(axis=1)
    nano[:, column["fuel"]] -= k * part["fuel"].sum(axis=1)
    wholesale = _wholesale(kwh, meter, bus, day_ahead, bid, real_time, unit_bus)
    for party, amounts in wholesale.items():
        paid = amounts[0] + amounts[1]
        nano[:, column[party]] += paid
        nano[:, column["congestion_rent"]] -= paid
    own = wholesale.get("aggregator", np.zeros((2, steps), np.int64))
    if two_price and day_ahead is not None and real_time is not None and bus is not None:
        extra = _nano(_beyond_one_price(kwh, meter, bus, day_ahead, bid, real_time))
        nano[:, column["aggregator"]] += extra
        nano[:, column["imbalance"]] -= extra
        own = np.stack([own[0], own[1] + extra])
    ledger = Ledger(
        accounts, nano, k, **part,
        retail_revenue=retail, wholesale_day_ahead=own[0], wholesale_real_time=own[1],
    )  # fmt: skip
    ledger.check()
    return ledger


def _parts(kwh: Array, tariff: Tariff, cash: dict[str, Any], dollars: dict[str, ArrayLike]) -> dict[str, Nano]:
    """What each prosumer of one community pays by purpose, arrays [S, N] int64 nano."""
    part = {name: _integers(amount, f"{name} cash", kwh.shape) for name, amount in cash.items()}
    for name in ("peer", "heat"):
        _zero(part[name].sum(axis=1), f"Payments between peers ({name} cash)")
    prices = [np.asarray(p).reshape(-1, 1) for p in (tariff.energy, tariff.network, tariff.levy, tariff.sell)]
    if len(prices[0]) != len(kwh):
        raise LedgerError(f"The tariff has {len(prices[0])} steps, grid_kwh has {len(kwh)}; give one price per step.")
    bought, sold = np.maximum(kwh, 0.0), np.maximum(-kwh, 0.0)
    for name, price in zip(("energy", "network", "levy"), prices, strict=False):
        part[name] = _nano(bought * (price * NANO_PER_TICK) / NANO)
    part["feed_in"] = -_nano(sold * (prices[3] * NANO_PER_TICK) / NANO)
    for name, amount in dollars.items():
        part[name] = _nano(np.broadcast_to(np.asarray(amount, dtype=np.float64), kwh.shape))
    return part


def _wholesale(
    kwh: Array,
    meter: Meter,
    bus: str | None,
    day_ahead: Clearing | None,
    bid: Bid | ArrayLike | None,
    real_time: Clearing | None,
    unit_bus: ArrayLike | None,
) -> dict[str, Nano]:
    """Payments [2, S] (day-ahead, real-time) of each party in nano, after the test of the congestion rent."""
    if day_ahead is None and real_time is None:
        return {}
    if day_ahead is None or real_time is None or bus is None:
        raise LedgerError(
            "A wholesale settlement needs the day-ahead clearing, the real-time clearing and the aggregator's bus; "
            "give all three, or neither clearing for a retail-only ledger."
        )
    for name, clearing in (("day-ahead", day_ahead), ("real-time", real_time)):
        if len(clearing.lmp) != len(kwh) or clearing.buses != day_ahead.buses:
            raise LedgerError(
                f"The {name} clearing has {len(clearing.lmp)} hours or other buses; it needs {len(kwh)} hours."
            )
    if bus not in day_ahead.buses:
        raise LedgerError(f"The aggregator's bus {bus!r} is not in the clearing; it has {', '.join(day_ahead.buses)}.")
    if unit_bus is None and len(day_ahead.buses) > 1:
        raise LedgerError("Give unit_bus, the position of each unit's bus (System.unit_bus), to pay the generators.")
    for name, clearing in (("day-ahead", day_ahead), ("real-time", real_time)):
        _check_served(name, clearing, day_ahead.buses.index(bus), bus)
    where = np.zeros(len(day_ahead.units), int) if unit_bus is None else np.asarray(unit_bus, dtype=int)
    own = _own(kwh, meter, day_ahead, bid)
    payments = two_settlement(day_ahead, real_time, own, day_ahead.buses.index(bus), where)
    amounts = {party: meter.to_mwh(payments.by_party[party]) for party in PARTIES}
    _check_rent(payments, amounts, meter)
    return {party: _nano(amount) for party, amount in amounts.items()}


def _own(kwh: Array, meter: Meter, day_ahead: Clearing, bid: Bid | ArrayLike | None) -> Array:
    """The aggregator's cleared position and metered net load, array [2, S] MW."""
    position = day_ahead.accepted.sum(axis=1) if bid is None else np.asarray(bid.mw if isinstance(bid, Bid) else bid)
    metered = meter.to_mw(kwh.sum(axis=1))
    return np.stack([np.broadcast_to(position, metered.shape), metered])


def _beyond_one_price(
    kwh: Array, meter: Meter, bus: str, day_ahead: Clearing, bid: Bid | ArrayLike | None, real_time: Clearing
) -> Array:
    """What the aggregator pays under two prices beyond one price, array [S] $ >= 0."""
    (position, metered), first, second = _own(kwh, meter, day_ahead, bid), day_ahead.price(bus), real_time.price(bus)
    hours = meter.step_hours
    both = settlement.two_price(position, metered, first, *settlement.imbalance_prices(first, second), step_h=hours)
    one = settlement.one_price(position, metered, first, second, step_h=hours)
    return both.imbalance - one.imbalance


def _check_served(name: str, clearing: Clearing, at: int, bus: str) -> None:
    """Refuse a clearing that could not serve the communities: what they consumed would not exist."""
    missing = clearing.shed[:, at] - np.maximum(clearing.load[:, at], 0.0)
    if (missing > 1e-6).any():
        step = int(np.argmax(missing))
        raise LedgerError(
            f"At step {step} the {name} market serves the communities at bus {bus} {missing[step]:.1f} MW less than "
            "they draw: the system has neither units nor lines for so many of them. Lower wholesale.replication."
        )


def _check_rent(payments: Payments, amounts: dict[str, Array], meter: Meter) -> None:
    left = sum((amount.sum(axis=0) for amount in amounts.values()), np.zeros(len(payments.rent)))
    turnover = sum((np.abs(amount).sum(axis=0) for amount in amounts.values()), np.zeros(len(payments.rent)))
    difference = left - meter.to_mwh(payments.rent)
    wrong = np.abs(difference) > RENT_TOLERANCE * np.maximum(turnover, 1.0)
    if wrong.any():
        step = int(np.argmax(np.abs(difference) / np.maximum(turnover, 1.0)))
        raise LedgerError(
            f"At step {step} the parties pay {left[step]:.6f} $ more than they receive, but the line flows earn "
            f"{left[step] - difference[step]:.6f} $: difference {difference[step]:.6f} $ on a turnover of "
            f"{turnover[step]:.2f} $. The real-time clearing must contain the metered net load, the day-ahead clearing "
            "the bid."
        )


def _integers(value: Any, name: str, shape: tuple[int, ...]) -> Nano:
    array = np.asarray(value)
    if len(shape) != 2 or array.shape != shape or not np.issubdtype(array.dtype, np.integer):
        raise LedgerError(
            f"{name} is {array.dtype} {array.shape}; give int64 nano-currency [S, N] like grid_kwh, which is {shape}."
        )
    return array.astype(np.int64)


def _nano(amount: Array) -> Nano:
    if not (np.isfinite(amount).all() and np.abs(amount).max(initial=0.0) < LARGEST):
        raise LedgerError(
            f"An amount is not finite or exceeds {LARGEST:.0e} $ in one step; check units and replication."
        )
    return np.rint(amount * NANO).astype(np.int64)


def _zero(sums: Nano, what: str) -> None:
    if sums.any():
        step = int(np.argmax(sums != 0))
        raise LedgerError(f"{what} do not sum to 0 at step {step}: difference {int(sums[step])} nano.")
