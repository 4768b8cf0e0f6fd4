"""Proven limits of the followers' multipliers: the big-M numbers of the single-level model.

Rows of one store behind one meter, with store-side gain c and loss d, and their multipliers:

- balance  g - e - sum_j (c_j / eta_c - d_j eta_d) = F_t   : lambda_t (value of energy)
- storage  s_t - s_{t-1} - c_t + d_t = 0                   : -mu_t (mu = value of stored energy)
- c <= C : gamma^c, d <= D : gamma^d, s <= S : gamma^s, s >= s_min : r^s; s_T = s_0 has a free multiplier

Stationarity (all r, gamma >= 0, each complementary to its bound): r^g = p - lambda, r^e = lambda - q,
r^c = kappa + rho c + lambda / eta_c - mu + gamma^c, r^d = kappa + rho d - lambda eta_d + mu + gamma^d,
mu_t - mu_{t+1} = r^s_t - gamma^s_t, and at the end of the day either mu_T free (restore) or
mu_T = end_value + r^s_T - gamma^s_T (value).

Proof of the box. q <= lambda <= p because g and e have no upper limit. Fix the optimal c, d in the marginal costs
kappa + rho c: the response stays optimal in the linear program with these costs, whose optimal multipliers form a
polyhedron without a line (r, gamma >= 0 end every line), so it has a vertex. At a vertex take a maximal run of steps
over which mu is constant because no storage bound is active in between. If at no step of the run r^c = gamma^c = 0 or
r^d = gamma^d = 0, the whole run can be shifted both ways (whichever of r and gamma is positive follows, at the ends of
the run r^s or gamma^s follows): no vertex. So some step of the run has mu = kappa + rho c + lambda / eta_c or
mu = lambda eta_d - kappa - rho d, or the run is tied to the end value. With 0 <= c <= C, 0 <= d <= D and lambda inside
[q, ceiling] the box of mu follows, and with it every other limit. Multipliers outside the box belong to the same
schedules, so no pair (price, response) is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggregator.pools import Group
from aggregator.prosumers import Array

SLACK = 0.01


@dataclass(frozen=True)
class StoreBox:
    """Limits of the multipliers of one store, $/kWh.

    The box of mu is proven and then widened by 0.01 $/kWh, so that a multiplier *at* the limit means a wrong proof.

    Attributes
    ----------
    mu_low, mu_high : float
    r_gain, r_loss, gamma_gain, gamma_loss : array [T]
    r_store : float
        Also the limit of gamma^s.
    """

    mu_low: float
    mu_high: float
    r_gain: Array
    r_loss: Array
    gamma_gain: Array
    gamma_loss: Array
    r_store: float


def store_box(one: Group, sell: Array, ceiling: Array, *, restore: bool) -> StoreBox:
    """Limits of the multipliers of one store for all prices between ``sell`` and ``ceiling``.

    Parameters
    ----------
    one : Group
    sell, ceiling : array [T] $/kWh
        Lowest and highest value of energy at each step.
    restore : bool
        Whether the store ends where it began.

    Returns
    -------
    StoreBox
    """
    kappa, bend_in = one.wear_linear, one.wear_quadratic * one.charge
    bend_out = one.wear_quadratic * one.discharge
    buying, selling = 1.0 / one.eta_charge, one.eta_discharge
    lowest = np.minimum(sell * selling - kappa - bend_out, sell * buying + kappa)
    highest = np.maximum(ceiling * buying + kappa + bend_in, ceiling * selling - kappa)
    ends = [] if restore else [one.end_value]
    low, high = min(lowest.min(), *ends, np.inf) - SLACK, max(highest.max(), *ends, -np.inf) + SLACK
    return StoreBox(
        mu_low=float(low),
        mu_high=float(high),
        r_gain=np.maximum(kappa + bend_in + ceiling * buying - low, 0.0),
        r_loss=np.maximum(kappa + bend_out - sell * selling + high, 0.0),
        gamma_gain=np.maximum(high - kappa - bend_in - sell * buying, 0.0),
        gamma_loss=np.maximum(ceiling * selling - kappa - bend_out - low, 0.0),
        r_store=float(high - low),
    )
