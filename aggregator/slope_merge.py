"""Best responses of very many linear followers with one store each: an exact dynamic programme on arrays.

The cheapest cost W_t(s) of arriving at the stored energy s is convex and piecewise linear. One step adds four pieces
(discharge to export, discharge to offset load, charge from surplus, charge from the grid), each cut at the ends of the
blocks of wear; the new W is the infimal
convolution, which merges sorted slopes, cut off at the limits of the store. All slopes of the day are known before it
begins, so they are sorted once; a step then moves the breakpoints x (store level where slope j begins), one cumulative
sum and one clip for all followers. Going back, the slope at the level reached tells how much of each piece was used.

References
----------
Rockafellar, "Convex Analysis", section 16 (infimal convolution); the store as a chain of convolutions is folklore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.pools import Pool
from aggregator.prosumers import Array
from aggregator.wear import ports
from retail.wear_blocks import WearBlocks, least_price

CHUNK = 256  # followers at a time: their breakpoints of a day stay in the cache
MANY = 32  # followers of a kind from which on a chunk holds one kind only


@dataclass(frozen=True, eq=False)
class Fleet:
    """B day problems, each one meter with at most one linear store.

    Attributes
    ----------
    fixed : array [B, T] kWh per step
    low, high, start, charge, discharge, into, out, wear : array [B]
        Store limits, start (kWh), largest gain and loss (kWh per step, store-side), efficiencies, linear wear ($/kWh).
    end_value : array [B] $/kWh or None
        Value of stored energy at a free end; None = the store ends where it began.
    blocks : tuple of (share, $/kWh)
        Blocks of wear, K of them (1 where there are none).
    """

    fixed: Array
    low: Array
    high: Array
    start: Array
    charge: Array
    discharge: Array
    into: Array
    out: Array
    wear: Array
    end_value: Array | None
    blocks: WearBlocks = ()

    @classmethod
    def of(cls, pools: Sequence[Pool]) -> Fleet | None:
        """The fleet of some pools, or None where one has two meters, two stores, quadratic wear or a day of its own.

        Parameters
        ----------
        pools : sequence of Pool

        Returns
        -------
        Fleet or None
            Problems ordered by pool, then day.
        """
        if any(
            len(pool.groups) > 1 or pool.fixed_kwh.shape[1] > 1 or not pool.linear or pool.begin is not None
            for pool in pools
        ):
            return None
        days = len(pools[0].fixed_kwh)

        def column(name: str, idle: float) -> Array:
            return np.repeat([float(getattr(p.groups[0], name)) if p.groups else idle for p in pools], days)

        return cls(
            fixed=np.concatenate([pool.fixed_kwh[:, 0] for pool in pools]),
            low=column("store_min", 0.0),
            high=column("store_max", 0.0),
            start=column("start", 0.0),
            charge=column("charge", 0.0),
            discharge=column("discharge", 0.0),
            into=column("eta_charge", 1.0),
            out=column("eta_discharge", 1.0),
            wear=column("wear_linear", 0.0),
            end_value=column("end_value", 0.0) if pools[0].storage_end == "value" else None,
            blocks=next((pool.wear_blocks for pool in pools if pool.groups), ()),
        )

    def applies(self, sell: Array) -> bool:
        """Whether the cost of a step is convex: wasting a kWh never pays at the lowest price.

        Parameters
        ----------
        sell : array [..., T] $/kWh
            Lowest value of energy.

        Returns
        -------
        bool
            Where not, the linear program gains and loses energy in one step, which one direction a step cannot.
        """
        least = 2.0 * (self.wear + least_price(self.blocks))
        return bool((least + (1.0 / self.into - self.out) * float(sell.min()) >= 0.0).all())

    def respond(self, buy: Array, sell: Array) -> Array:
        """Change of the stored energy that costs least.

        Parameters
        ----------
        buy, sell : array [D, T] $/kWh
            ``buy >= sell``; D divides B and runs fastest.

        Returns
        -------
        array [B, T] kWh per step
            Store-side, + = charge.
        """
        change = np.empty_like(self.fixed)
        slope_of, kinds = _slopes(self, buy, sell, np.arange(len(self.fixed)) % len(buy))
        for part in _parts(kinds, len(slope_of)):
            here = kinds[part] if kinds[part[0]] != kinds[part[-1]] else kinds[part[:1]]
            change[part] = self._chunk(part, *_ranked(slope_of[here]))
        return change

    def _widths(self, part: NDArray[np.intp]) -> Array:
        """Width of the 4 K pieces of each step, array [T, 4 K, b] kWh: kind by kind, and each block by block.

        Where a block ends before the load is met, its piece of export has no width, and so on: the pieces that have
        one lie beside each other in the order of their slopes.
        """
        fixed = self.fixed[part].T
        load, surplus = np.maximum(fixed, 0.0) / self.out[part], np.maximum(-fixed, 0.0) * self.into[part]
        offset, export = self._cut(load, self.discharge[part])
        stored, grid = self._cut(surplus, self.charge[part])
        return np.stack([*export, *offset, *stored, *grid], axis=1)

    def _cut(self, need: Array, rated: Array) -> tuple[list[Array], list[Array]]:
        """What of each block a need [T, b] takes, and what it leaves, K arrays [T, b] kWh each."""
        limit, _ = ports(rated, 0.0, 0.0, self.blocks)
        begin = np.cumsum(limit, axis=1) - limit
        used = [np.clip(need - first, 0.0, most) for first, most in zip(begin.T, limit.T, strict=True)]
        return used, [most - one for one, most in zip(used, limit.T, strict=True)]

    def _chunk(self, part: NDArray[np.intp], rank: NDArray[np.intp], sorted_slopes: Array) -> Array:
        widths = self._widths(part)
        steps, kinds, count = widths.shape
        pieces = kinds * steps
        low, high, start, down = self.low[part], self.high[part], self.start[part], self.discharge[part]
        column = np.arange(count)
        at = np.tile(start, (pieces + 1, 1))
        before = np.empty((steps, pieces + 1, count))  # breakpoints of each step before the store's limits
        for t in range(steps):
            _move(at, rank[t], widths[t], down, before[t])
            np.maximum(before[t], low, out=at)
            np.minimum(at, high, out=at)
        level = start
        if self.end_value is not None:
            level = at[(sorted_slopes < self.end_value[part]).sum(axis=0), column]
        change = np.empty((count, steps))
        for t in range(steps - 1, -1, -1):
            slot = np.minimum((before[t, 1:] < level).sum(axis=0), pieces - 1)
            used = np.where(rank[t] < slot, widths[t], 0.0)
            partial = np.clip(level - before[t, slot, column], 0.0, widths[t])
            used = np.where(rank[t] == slot, partial, used).sum(axis=0)
            earlier = np.clip(level - (used - down), low, high) if t else start
            change[:, t] = level - earlier
            level = earlier
        return change


def _parts(kinds: NDArray[np.intp], number: int) -> list[NDArray[np.intp]]:
    """Followers cut into chunks, each of one kind if kinds are large: then one order of slopes serves all of it."""
    order = np.argsort(kinds, kind="stable")
    ends = np.cumsum(np.bincount(kinds))[:-1] if len(kinds) >= MANY * number else np.zeros(0, np.intp)
    return [part[k : k + CHUNK] for part in np.split(order, ends) for k in range(0, len(part), CHUNK)]


def _move(at: Array, rank: NDArray[np.intp], widths: Array, down: Array, into: Array) -> None:
    """Breakpoints [P + 1, b] after a step: each is moved by the pieces [4 K, b] of lower rank [4 K, b or 1]."""
    if rank.shape[1] > 1:
        added = np.zeros_like(at)
        added[rank + 1, np.arange(at.shape[1])] = widths
        added[0] = -down
        np.add(at, np.cumsum(added, axis=0, out=added), out=into)
        return
    begin, moved = 0, -down
    for piece in np.argsort(rank[:, 0]):
        end = int(rank[piece, 0]) + 1
        np.add(at[begin:end], moved, out=into[begin:end])
        begin, moved = end, moved + widths[piece]
    np.add(at[begin:], moved, out=into[begin:])


def _slopes(fleet: Fleet, buy: Array, sell: Array, day: NDArray[np.intp]) -> tuple[Array, NDArray[np.intp]]:
    """Slopes [k, T, 4 K] of each kind of follower (efficiencies, wear, day) and the kind [B] of each."""
    features = np.stack([fleet.into, fleet.out, fleet.wear, day], axis=1)
    kinds, which = np.unique(features, axis=0, return_inverse=True)
    into, out = kinds[:, 0, None, None], kinds[:, 1, None, None]
    _, wear = ports(0.0, kinds[:, 2, None], 0.0, fleet.blocks)
    p, q = (price[kinds[:, 3].astype(int), :, None] for price in (buy, sell))
    slopes = np.concatenate([out * q - wear, out * p - wear, q / into + wear, p / into + wear], axis=2)
    return slopes, which.reshape(-1)


def _ranked(slopes: Array) -> tuple[NDArray[np.intp], Array]:
    """Rank of every piece among all of the day, array [T, 4 K, b], and the slopes in order, array [4 K T, b]."""
    count, steps, kinds = slopes.shape
    flat = slopes.reshape(count, -1).T
    order = np.argsort(flat, axis=0, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(kinds * steps)[:, None], axis=0)
    return rank.reshape(steps, kinds, count), np.take_along_axis(flat, order, axis=0)
