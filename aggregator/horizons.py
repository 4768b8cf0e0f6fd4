"""Days without a gap as one horizon: best responses of followers whose stores carry over, told day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from aggregator.portfolio import BestResponse, Portfolio, Response
from aggregator.prosumers import Array


def over_stretches(portfolio: Portfolio, buy: Array, sell: Array, stretches: Sequence[tuple[int, int]]) -> Response:
    """Best response with perfect foresight over each stretch of days; what batteries hold at its end is worth nothing.

    Parameters
    ----------
    portfolio : Portfolio
        D days; batteries begin each stretch at ``start``.
    buy, sell : array [D, T] $/kWh
        ``buy >= sell``.
    stretches : sequence of (int, int)
        Days [first, last) of each, which make up all D days in order.

    Returns
    -------
    Response
        Of D days; ``cost``, ``own`` and ``wear`` of each are the mean over its stretch, since energy bought on one day
        serves another.
    """
    parts = []
    for first, last in stretches:
        prices = (x[first:last].reshape(1, -1) for x in (buy, sell))
        parts.append(_by_day(BestResponse(portfolio.strung(first, last)).solve(*prices), last - first))
    arrays = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Response)
              if f.name not in ("flows", "mean")}  # fmt: skip
    flows = tuple(np.concatenate(column) for column in zip(*(part.flows for part in parts), strict=True))
    cost = arrays["cost"]
    return Response(**arrays, flows=flows, mean=float(cost.reshape(len(cost), -1).sum(axis=1).mean()))


def _by_day(whole: Response, days: int) -> Response:
    def level(x: Array) -> Array:
        return np.repeat(x / days, days, axis=0)

    def cut(x: Array) -> Array:
        """[1, ..., days * T] as [days, ..., T]."""
        return np.moveaxis(x[0].reshape(*x.shape[1:-1], days, -1), -2, 0)

    return replace(
        whole,
        cost=level(whole.cost),
        own=level(whole.own),
        wear=level(whole.wear),
        importing=cut(whole.importing),
        exporting=cut(whole.exporting),
        net=cut(whole.net),
        store_change=cut(whole.store_change),
        flows=tuple(cut(flow) for flow in whole.flows),
    )
