"""Rows and columns of the day problem of stores behind meters, for a batch of days; the batch is the last axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.prosumers import Array

Rows = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Block:
    """Structure of the rows: which store sits behind which meter, and what its ports do.

    A port is a way into a store (sign + 1) or out of it (- 1) with its own draw at the meter: a battery has two, a heat
    store one for each machine that fills it. Rows are ``balance`` [M, T] (imports + above - exports + bought - sold -
    draw of all ports = fixed), ``storage`` [G, T] (store - keep * store before - signed ports = 0 or start) and, with
    exchange, ``internal`` [T] (sum of bought - sold = 0). Columns lie on the first axis: imports, exports [M], ports
    [G * P], store [G], with exchange bought, sold [M], and with a peak above [M], each for T steps and B days.

    Attributes
    ----------
    behind : array [M, G]
        1 where store g sits behind meter m.
    meter : array [G, P, T, B] or broadcastable
        Energy drawn at the meter per kWh through the port, + = drawn.
    sign : array [G, P]
        Of the ports; ports that a store does not have are shut by their bounds.
    keep : array [G, 1]
        Share of the content that is still there after a step.
    exchange, peak : bool
        Whether the meters trade; whether imports above a cap have their own price.
    """

    behind: Array
    meter: Array
    sign: Array
    keep: Array
    exchange: bool
    peak: bool

    def split(self, x: Array) -> tuple[Array, Array, Array, Array, list[Array]]:
        """Views of columns [n, T, B]: imports, exports [M, T, B], ports [G, P, T, B], store [G, T, B], the others."""
        meters, groups = self.behind.shape
        count = self.sign.shape[1]
        begin = 2 * meters + groups * count
        ports = x[2 * meters : begin].reshape(groups, count, *x.shape[1:])
        rest = x[begin + groups :].reshape(-1, meters, *x.shape[1:])
        return x[:meters], x[meters : 2 * meters], ports, x[begin : begin + groups], list(rest)

    def at_meters(self, flow: Array) -> Array:
        """Sum of something of all stores [G, T, B] by meter, [M, T, B]."""
        if len(self.behind) == 1:
            return np.asarray(flow.sum(axis=0, keepdims=True))
        return np.tensordot(self.behind, flow, axes=1)

    def rows(self, x: Array) -> Rows:
        """A x as balance [M, T, B], storage [G, T, B], internal [T, B]."""
        imports, exports, ports, store, other = self.split(x)
        balance = imports - exports - self.at_meters((ports * self.meter).sum(axis=1))
        storage = store - (ports * self.sign[:, :, None, None]).sum(axis=1)
        storage[:, 1:] -= self.keep[..., None] * store[:, :-1]
        internal = np.zeros(x.shape[1:])
        if self.exchange:
            balance = balance + other[0] - other[1]
            internal = (other[0] - other[1]).sum(axis=0)
        if self.peak:
            balance = balance + other[-1]
        return balance, storage, internal

    def columns(self, energy: Array, stored: Array, inside: Array) -> Array:
        """A' y [n, T, B] for row multipliers energy [M, T, B], stored [G, T, B], inside [T, B]."""
        meters, groups = self.behind.shape
        count = self.sign.shape[1]
        more = 2 * meters * self.exchange + meters * self.peak
        made = np.empty((2 * meters + groups * (count + 1) + more, *energy.shape[1:]))
        imports, exports, ports, store, other = self.split(made)
        imports[:] = energy
        np.negative(energy, out=exports)
        behind = energy if meters == 1 else np.tensordot(self.behind.T, energy, axes=1)
        np.multiply(behind[:, None], -self.meter, out=ports)
        ports -= self.sign[:, :, None, None] * stored[:, None]
        store[:] = stored
        store[:, :-1] -= self.keep[..., None] * stored[:, 1:]
        if self.exchange:
            np.add(energy, inside, out=other[0])
            np.negative(other[0], out=other[1])
        if self.peak:
            other[-1][:] = energy
        return made

    def take(self, which: NDArray[np.intp] | slice) -> Block:
        """The structure of some members of the batch."""
        return replace(self, meter=self.meter[..., which] if self.meter.shape[-1] > 1 else self.meter)
