"""Dispatch with quadratic costs by guessing which limits bind: exact where the guess is proven right.

HiGHS starts every quadratic program from nothing. Here the limits that bound in the last hour are the guess for the
next. With binding limits known, optimality is one small linear system in the energy price, the prices of the binding
lines and the outputs of offers with flat marginal cost (Karush-Kuhn-Tucker conditions). Limits that the guess misses
are made to bind one by one, the worst first (dual method of Goldfarb and Idnani 1983, doi 10.1007/BF02591962). An
answer counts only if it passes all conditions, hour by hour; what does not is left to the solver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wholesale.factors import Factors
from wholesale.offers import Offers

ROUNDS, ROUNDS_EACH = 60, 4
FLAT = 1e-5  # slope lent to a flat offer during the search, of the median slope
SINGULAR = 1e-11  # relative: a limit that others already decide
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
        try:
            out, price = _solve(problem.at(ahead), piece, line)
        except np.linalg.LinAlgError:  # several flat offers at one price: their shares are not decided
            continue
        good = _proven(problem.at(ahead), out, price)
        p[ahead[good]], z[ahead[good]] = out[good], price[good]
        pending[ahead[good]] = False
    lmp = z[:, :1] - z[:, 1:] @ grid.ptdf
    return Answer(p, lmp, p @ problem.h.T + through, ~np.isnan(p).any(axis=1))


def _search(one: Problem, piece: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the binding limits of one hour, starting from a guess; None if that does not end.

    Flat offers get a little slope here, so that every step has one answer; the limits found are judged without it.
    """
    k = np.where(one.k > 0, one.k, FLAT * np.median(one.k[one.k > 0]))
    soft = replace(one, k=k)
    mobile = one.low[0] < one.high[0]
    piece, line = np.where(mobile, piece, UPPER), line.copy()
    state = None
    for guess in ((piece, line), (np.where(mobile, FREE, UPPER), np.zeros_like(line))):
        try:
            state = _relieve(soft, mobile, *guess)
        except np.linalg.LinAlgError:
            continue
        if state is not None:
            break
    if state is None:
        return None
    try:
        for _ in range(ROUNDS + ROUNDS_EACH * len(k)):
            wanted = _violated(soft, state)
            if wanted is None:
                return state.piece, state.line
            if not _bind(soft, mobile, state, *wanted):
                return None
    except np.linalg.LinAlgError:
        pass
    return None


@dataclass(eq=False)
class _State:
    """A point that is optimal for the limits now counted as binding; changed in place.

    p [piece] MW; energy price and nu [line] $/MWh; gap [piece]: price less marginal cost at the limits that bind.
    """

    piece: np.ndarray
    line: np.ndarray
    p: np.ndarray
    nu: np.ndarray
    gap: np.ndarray


def _relieve(one: Problem, mobile: np.ndarray, piece: np.ndarray, line: np.ndarray) -> _State | None:
    """Let go of limits that push the wrong way until none does."""
    piece, line = piece.copy(), line.copy()
    for _ in range(ROUNDS):
        p, z = _solve(one, piece, line)
        if not np.isfinite(z).all():
            return None
        slack, _ = _scales(one, p, z)
        gap, nu = (z[:, 0] - z[:, 1:] @ one.h - one.a - one.k * p)[0], z[0, 1:]
        wrong = mobile & (gap * piece < -slack)
        off = nu * line < -slack
        if not wrong.any() and not off.any():
            return _State(piece, line, p[0], nu, gap)
        piece[wrong], line[off] = FREE, FREE
    return None


def _violated(one: Problem, state: _State) -> tuple[bool, int, int, float] | None:
    """The limit that is missed by most MW: whether it is a line's, which, on which side, by how much."""
    p, flow = state.p, one.h @ state.p
    room = TOLERANCE_MW * (1.0 + float(np.abs(p).max()))
    over = np.where(state.piece == FREE, np.maximum(p - one.high[0], one.low[0] - p), 0.0)
    j = int(over.argmax())
    beyond = np.where(state.line == FREE, np.maximum(flow - one.line_high[0], one.line_low[0] - flow), 0.0)
    e = int(beyond.argmax()) if len(beyond) else -1
    if e >= 0 and beyond[e] > max(over[j], room):
        return True, e, UPPER if flow[e] > one.line_high[0, e] else LOWER, float(beyond[e])
    if over[j] > room:
        return False, j, UPPER if p[j] > one.high[0, j] else LOWER, float(over[j])
    return None


def _bind(one: Problem, mobile: np.ndarray, s: _State, is_line: bool, index: int, side: int, missing: float) -> bool:
    """Raise the price of one violated limit until it holds, letting go of limits whose price falls to 0 on the way."""
    n = side * one.h[index] if is_line else np.zeros(len(s.p))
    if not is_line:
        n[index] = side
    paid = 0.0
    for _ in range(ROUNDS + len(s.p)):
        free, bound = s.piece == FREE, np.flatnonzero(s.line)
        m = np.vstack([np.ones(len(s.p)), -one.h[bound]])
        inner, width = m[:, free], 1.0 / one.k[free]
        rate = np.linalg.solve((inner * width) @ inner.T, inner @ (n[free] * width))
        move = (rate @ inner - n[free]) * width
        gain = -float(n[free] @ move)
        full = missing / gain if gain > SINGULAR * float((n * n / one.k).sum()) else np.inf
        slide = rate @ m - n
        lines = np.zeros(len(s.line))
        lines[bound] = rate[1:]
        towards, towards_line = -s.piece * slide * mobile, -s.line * lines
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.where(towards > 0, np.maximum(s.gap * s.piece, 0.0) / towards, np.inf)
            at_line = np.where(towards_line > 0, np.maximum(s.nu * s.line, 0.0) / towards_line, np.inf)
        j, e = int(at.argmin()), int(at_line.argmin()) if len(at_line) else -1
        first = min(at[j], at_line[e] if e >= 0 else np.inf)
        step = min(full, first)
        if not np.isfinite(step):
            return False  # no dispatch holds this limit
        s.p[free] += step * move
        s.nu += step * lines
        s.gap += step * slide
        paid += step
        missing -= step * gain
        if full <= first:
            target, price = (s.line, s.nu) if is_line else (s.piece, s.gap)
            target[index], price[index] = side, side * paid
            return True
        if at[j] <= first:
            s.piece[j], s.gap[j] = FREE, 0.0
        else:
            s.line[e], s.nu[e] = FREE, 0.0
    return False


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
