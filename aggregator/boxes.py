"""Proven limits of the followers' multipliers: the big-M numbers of the single-level model.

Rows of one store behind one meter. Ports p with sign + 1 fill it and with - 1 empty it; x_p <= X_p is the flow, a_p the
energy drawn at the meter per kWh of it, kappa_p and rho_p its linear and quadratic cost, k the share of the content
that is kept, D_t what leaves for the store's purpose. Multipliers stand behind the colon:

- balance  g - e - sum_p a_p x_p = F_t                              : lambda_t (value of energy)
- storage  s_t - k s_{t-1} - sum_p sign_p x_p = -D_t                : -mu_t (mu = value of stored energy)
- x <= X : gamma, s <= S : gamma^s, s >= s_min : r^s; where s_min = S the multiplier is free

Stationarity (all r, gamma >= 0, each complementary to its bound): p - lambda = r^g, lambda - q = r^e,
r_p - gamma_p = kappa_p + rho_p x_p + a_p lambda - sign_p mu and r^s_t - gamma^s_t = mu_t - k mu_{t+1} (at the end of
the day mu_T - end_value where the end is free). A battery has the ports a = 1 / eta_charge and a = -eta_discharge.

Proof of the box. q <= lambda <= p because g and e have no upper limit. Fix the optimal x in the marginal costs
kappa + rho x: the response stays optimal in the linear program with these costs, whose optimal multipliers form a
polyhedron without a line (r, gamma >= 0 end every line), so it has a vertex. At a vertex take a maximal run of steps
over which no storage bound has a multiplier, that is mu_t = k mu_{t+1}. If at no step of the run r_p = gamma_p = 0 for
an open port, the whole run can be scaled both ways (whichever of r and gamma is positive follows, at the ends of the
run r^s or gamma^s follows): no vertex. So some step of the run has mu = sign_p (kappa_p + rho_p x_p + a_p lambda), or
the run is tied to the end value. A run in which no port can be open has no say in anything, and any mu will do there.
With 0 <= x <= X and lambda inside [q, ceiling] the box of mu follows (divided by k for each step that the run can go
on), and with it every other limit. Multipliers outside the box belong to the same schedules, so no pair (price,
response) is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggregator.prosumers import Array
from aggregator.store_table import DayStore

SLACK = 0.01


@dataclass(frozen=True)
class StoreBox:
    """Limits of the multipliers of one store on one day, $/kWh.

    The box of mu is proven and then widened by 0.01 $/kWh, so that a multiplier *at* the limit means a wrong proof.

    Attributes
    ----------
    mu_low, mu_high : float
    r, gamma : array [P, T]
        Of the ports.
    r_store, gamma_store : array [T]
        Of the content.
    """

    mu_low: float
    mu_high: float
    r: Array
    gamma: Array
    r_store: Array
    gamma_store: Array


def store_box(one: DayStore, sell: Array, ceiling: Array) -> StoreBox:
    """Limits of the multipliers of one store for all prices between ``sell`` and ``ceiling``.

    Parameters
    ----------
    one : DayStore
    sell, ceiling : array [T] $/kWh
        Lowest and highest value of energy at each step.

    Returns
    -------
    StoreBox
    """
    energy = np.stack([one.draw * sell, one.draw * ceiling])
    least, most = one.cost + energy.min(axis=0), one.cost + energy.max(axis=0)
    bent, sign = one.curve * one.limit, one.sign[:, None]
    pins = np.concatenate([(sign * least)[one.open], (sign * (most + bent))[one.open], [-one.end_cost[-1]]])
    if not one.free[-1] and one.open.any():
        pins = pins[:-1]  # the end is given, so nothing is tied to its value
    low, high = float(pins.min()), float(pins.max())
    if one.keep < 1.0:
        longest = one.keep ** (1 - len(sell))
        low, high = min(low, 0.0) * longest, max(high, 0.0) * longest
    low, high = low - SLACK, high + SLACK
    last = np.arange(len(sell)) == len(sell) - 1
    after_low = np.where(last, -one.end_cost, min(one.keep * low, one.keep * high))
    after_high = np.where(last, -one.end_cost, max(one.keep * low, one.keep * high))
    up, down = np.where(sign > 0, high, -low), np.where(sign > 0, low, -high)
    return StoreBox(
        mu_low=low,
        mu_high=high,
        r=np.maximum(most - down, 0.0),
        gamma=np.maximum(up - least - bent, 0.0),
        r_store=np.maximum(high - after_low, 0.0),
        gamma_store=np.maximum(after_high - low, 0.0),
    )
