"""Dispatch with quadratic costs by guessing which limits bind: exact where the guess is proven right.

HiGHS starts every quadratic program from nothing. Here the limits that bound in the last hour are the guess for the
next. With binding limits known, optimality is one small linear system in the energy price, the prices of the binding
lines and the outputs of offers with flat marginal cost (Karush-Kuhn-Tucker conditions); limits that the answer violates
are exchanged and the system is solved again (primal-dual active sets: Hintermueller, Ito and Kunisch 2002). An answer
counts only if it passes all conditions, hour by hour; what does not is left to the solver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wholesale.factors import Factors
from wholesale.offers import Offers

ROUNDS = 60
REUSE = 64  # hours ahead that are tried with a proven guess in one go
TOLERANCE_MW = 1e-8  # relative to the MW involved
TOLERANCE_PRICE = 1e-9  # relative to the prices involved
LOWER, FREE, UPPER = -1, 0, 1


@dataclass(frozen=True, eq=False)
class Problem:
    """Least cost of pieces on a network, all hours.

    Attributes
    ----------
    low, high : ndarray [T, piece]
        MW limits.
    a : ndarray [T, piece]
        Marginal cost at 0, $/MWh.
    k : ndarray [piece]
        Slope of the marginal cost, $/MW^2h.
    h : ndarray [line, piece]
        Factors at the pieces' buses, + for what injects.
    demand : ndarray [T]
        MW.
    line_low, line_high : ndarray [T, line]
        MW that the pieces may put on the lines beside the loads' flow.
    """

    low: np.ndarray
    high: np.ndarray
    a: np.ndarray
    k: np.ndarray
    h: np.ndarray
    demand: np.ndarray
    line_low: np.ndarray
    line_high: np.ndarray

    def at(self, hours: np.ndarray) -> Problem:
        """Return some hours only (int [k])."""
        hourly = ("low", "high", "a", "demand", "line_low", "line_high")
        return replace(self, **{field: getattr(self, field)[hours] for field in hourly})


@dataclass(frozen=True, eq=False)
class Answer:
    """Output [T, piece] and flows [T, line] in MW, prices [T, bus] in $/MWh; NaN where not `proven` [T]."""

    p: np.ndarray
    lmp: np.ndarray
    flow: np.ndarray
    proven: np.ndarray


def dispatch(offer: Offers, bus: np.ndarray, grid: Factors, load: np.ndarray, a: np.ndarray) -> Answer:
    """Dispatch pieces at least cost, hour by hour.

    Parameters
    ----------
    offer : Offers
        Limits and slopes; elastic bids may stand among them as pieces that inject -q..0 MW.
    bus : ndarray [piece] of int
        Bus of each piece.
    grid : Factors
        The network.
    load : ndarray [T, bus]
        MW that must be served.
    a : ndarray [T, piece]
        Marginal cost of each piece at 0 in each hour, $/MWh.

    Returns
    -------
    Answer
        Hours without a proof are marked; nothing is claimed about them.
    """
    through = grid.loop - load @ grid.ptdf.T
    problem = Problem(
        low=offer.low, high=offer.high, a=a, k=offer.k, h=grid.ptdf[:, bus], demand=load.sum(axis=1),
        line_low=grid.net.low - through, line_high=grid.net.high - through,
    )  # fmt: skip
    hours, lines = through.shape
    p = np.full(offer.low.shape, np.nan)
    z = np.full((hours, 1 + lines), np.nan)
    pending = np.ones(hours, bool)
    # at first all quadratic pieces are free and flat ones stand still
    piece, line = np.where(offer.k > 0, FREE, LOWER), np.zeros(lines, int)
    for t in range(hours):
        if not pending[t]:
            continue
        pending[t] = False
        found = _search(problem.at(np.array([t])), piece, line)
        if found is None:
            continue
        piece, line = found
        ahead = np.concatenate([[t], np.flatnonzero(pending[: t + REUSE])])
        out, price = _solve(problem.at(ahead), piece, line)
        good = _proven(problem.at(ahead), out, price)
        p[ahead[good]], z[ahead[good]] = out[good], price[good]
        pending[ahead[good]] = False
    lmp = z[:, :1] - z[:, 1:] @ grid.ptdf
    return Answer(p, lmp, p @ problem.h.T + through, ~np.isnan(p).any(axis=1))


def _search(one: Problem, piece: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the binding limits of one hour, starting from a guess; None if the exchange does not end."""
    piece, line = piece.copy(), line.copy()
    mobile = one.low[0] < one.high[0]
    moved = np.zeros(len(piece), bool)  # flat pieces that have crossed over once
    for _ in range(ROUNDS):
        try:
            p, z = _solve(one, piece, line)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(p).all():
            return None
        slack, room = _scales(one, p, z)
        out, gap, flow = p[0], (z[:, 0] - z[:, 1:] @ one.h - one.a)[0], one.h @ p[0]
        new_piece = piece.copy()
        free = piece == FREE
        new_piece[free & (out < one.low[0] - room)] = LOWER
        new_piece[free & (out > one.high[0] + room)] = UPPER
        cheap = mobile & (piece == LOWER) & (gap > one.k * one.low[0] + slack)
        dear = mobile & (piece == UPPER) & (gap < one.k * one.high[0] - slack)
        flat = one.k == 0
        new_piece[(cheap | dear) & (~flat | moved)] = FREE
        new_piece[cheap & flat & ~moved] = UPPER
        new_piece[dear & flat & ~moved] = LOWER
        moved |= (cheap | dear) & flat
        new_line = line.copy()
        new_line[(line == UPPER) & (z[0, 1:] < -slack)] = FREE
        new_line[(line == LOWER) & (z[0, 1:] > slack)] = FREE
        over, under = flow - one.line_high[0], one.line_low[0] - flow
        beyond = np.where(line == FREE, np.maximum(over, under), 0.0)
        if (beyond > room).any():
            worst = int(beyond.argmax())  # one line at a time: relieving the worst often relieves others
            new_line[worst] = UPPER if over[worst] >= under[worst] else LOWER
        if (new_piece == piece).all() and (new_line == line).all():
            return piece, line
        piece, line = new_piece, new_line
    return None


def _solve(many: Problem, piece: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs [T, piece] and prices [T, 1 + line] (energy, then lines) with these limits binding."""
    hours = len(many.demand)
    bound = np.flatnonzero(line)
    flat, steep = np.flatnonzero((piece == FREE) & (many.k == 0)), np.flatnonzero((piece == FREE) & (many.k > 0))
    p = np.where(piece == UPPER, many.high, many.low)
    p[:, piece == FREE] = 0.0
    m = np.vstack([np.ones(len(piece)), -many.h[bound]])
    limit = np.where(line[bound] == UPPER, many.line_high[:, bound], many.line_low[:, bound])
    right = np.hstack([many.demand[:, None], -limit]) - p @ m.T + (many.a[:, steep] / many.k[steep]) @ m[:, steep].T
    n, f = len(m), len(flat)
    kkt = np.zeros((n + f, n + f))
    kkt[:n, :n] = (m[:, steep] / many.k[steep]) @ m[:, steep].T
    kkt[:n, n:], kkt[n:, :n] = m[:, flat], m[:, flat].T
    answer = np.linalg.solve(kkt, np.hstack([right, many.a[:, flat]]).T).T
    price = answer[:, :n] @ m
    p[:, steep] = (price[:, steep] - many.a[:, steep]) / many.k[steep]
    p[:, flat] = answer[:, n:]
    z = np.zeros((hours, 1 + len(line)))
    z[:, 0], z[:, 1 + bound] = answer[:, 0], answer[:, 1:n]
    return p, z


def _scales(many: Problem, p: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """What counts as rounding: $/MWh and MW."""
    price = TOLERANCE_PRICE * (1.0 + float(np.abs(z).max()))
    return price, TOLERANCE_MW * (1.0 + float(np.abs(p).max()))


def _proven(many: Problem, p: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which hours [T] satisfy every condition of optimality, whatever was guessed."""
    slack, room = _scales(many, p, z)
    slack, room = 2.0 * slack, 2.0 * room
    flow = p @ many.h.T
    gap = z[:, :1] - z[:, 1:] @ many.h - many.a - many.k * p  # > 0: more output would pay
    good = np.abs(p.sum(axis=1) - many.demand) <= room * np.sqrt(p.shape[1])
    good &= ((p >= many.low - room) & (p <= many.high + room)).all(axis=1)
    good &= ((flow >= many.line_low - room) & (flow <= many.line_high + room)).all(axis=1)
    good &= ((gap <= slack) | (p >= many.high - room)).all(axis=1)
    good &= ((gap >= -slack) | (p <= many.low + room)).all(axis=1)
    nu = z[:, 1:]
    good &= ((nu <= slack) | (flow >= many.line_high - room)).all(axis=1)
    good &= ((nu >= -slack) | (flow <= many.line_low + room)).all(axis=1)
    return np.asarray(good)
