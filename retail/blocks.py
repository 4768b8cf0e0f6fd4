"""Contingent dispatch: what a battery could still move is posted as a block, and moves only as far as it clears."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from retail.community import Battery
from retail.devices import at_meter, from_meter, wear
from retail.orders import Orders
from retail.tariff import TICKS_PER_UNIT


@dataclass(frozen=True)
class Terms:
    """How much of its flexibility a home offers, and at which value of stored energy.

    Attributes
    ----------
    draw, fill : Tensor [B, N] kWh
        Most energy to take from and to add to the store beyond the committed move, store side, at least 0.
    value : Tensor [B, N] $/kWh
        What a stored kWh is worth to its owner.
    """

    draw: Tensor
    fill: Tensor
    value: Tensor


def block_orders(change: Tensor, terms: Terms, battery: Battery, step_hours: float) -> Orders:
    """Two limit orders per home: an ask for what it could draw and a bid for what it could fill.

    Limit prices are averages over the whole block of the value of the stored energy and of the additional wear. Both
    grow with the block (losses and wear are convex), so a block that clears in part is never cleared at a loss.

    Parameters
    ----------
    change : Tensor [B, N] kWh
        Committed move of the store, + charges.
    terms : Terms
        Size and value of the blocks.
    battery : Battery
        Parameters [N].
    step_hours : float h
        Length of a step.

    Returns
    -------
    Orders [B, 2 N]
        First all asks (Wh <= 0), then all bids (Wh >= 0); ticks rounded to the owner's advantage.
    """
    here, worn = at_meter(change, battery), wear(change, battery, step_hours)
    sold = here - at_meter(change - terms.draw, battery)
    bought = at_meter(change + terms.fill, battery) - here
    cost = terms.value * terms.draw + wear(change - terms.draw, battery, step_hours) - worn
    gain = terms.value * terms.fill - (wear(change + terms.fill, battery, step_hours) - worn)
    ask = torch.ceil(cost / sold.clamp(min=1e-9) * TICKS_PER_UNIT - 1e-6)
    bid = torch.floor(gain / bought.clamp(min=1e-9) * TICKS_PER_UNIT + 1e-6)
    # Only whole Wh inside the physical range are posted.
    wh = torch.cat([-torch.floor(sold * 1000), torch.floor(bought * 1000)], -1)
    return Orders(wh.to(torch.int64), torch.where(wh == 0, 0.0, torch.cat([ask, bid], -1)).to(torch.int64))


def moved(change: Tensor, cleared_wh: Tensor, battery: Battery) -> Tensor:
    """Store change after the blocks have cleared.

    Parameters
    ----------
    change : Tensor [B, N] kWh
        Committed move, store side.
    cleared_wh : Tensor [B, N] int64 Wh
        Net energy that the home's blocks bought (+) or sold (-).
    battery : Battery
        Parameters [N].

    Returns
    -------
    Tensor [B, N] kWh
        Store side, + charges; the committed move where nothing cleared.
    """
    target = from_meter(at_meter(change, battery) + cleared_wh.double() / 1000, battery)
    return torch.where(cleared_wh == 0, change, target)


def usual_terms(
    room: tuple[Tensor, Tensor],
    stored: Tensor,
    expected: Tensor,
    buy: Tensor,
    battery: Battery,
    keep: float,
    end_value: float | None,
) -> Terms:
    """Terms that each home can set for itself: keep a reserve for its own dear hours, value energy at its refill cost.

    Parameters
    ----------
    room : tuple of Tensor [B, N] kWh
        How far the store can still go down and up after the committed move.
    stored : Tensor [B, N] kWh
        Stored energy after the committed move.
    expected : Tensor [B, S, N] kWh
        Own expected net load of the steps left after this one.
    buy : Tensor [B, 1 + S] $/kWh
        Buy price of this step and of those left.
    battery : Battery
        Parameters [N].
    keep : float
        Reserve as a multiple of the own need expected in later, dearer steps.
    end_value : float $/kWh, optional
        Value of stored energy at the end of the day; None where the store has to return to its start and a missing kWh
        must be bought back at the cheapest price left.

    Returns
    -------
    Terms
        Draw and fill in kWh, value in $/kWh.
    """
    down, up = room
    now, later = buy[:, :1], buy[:, 1:]
    dearer = (later > now).to(expected.dtype)
    need = torch.einsum("bs,bsn->bn", dearer, expected.clamp(min=0))
    spare = stored - battery.store_min - keep * need / battery.eta_discharge
    cheapest = later.amin(-1, keepdim=True) if later.shape[1] else now
    value = cheapest / battery.eta_charge if end_value is None else torch.full_like(stored, end_value)
    return Terms(torch.minimum(down, spare.clamp(min=0)), up, value.expand_as(stored))
