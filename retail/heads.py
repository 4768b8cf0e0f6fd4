"""Heads of an action: the named numbers in [-1, 1] that a prosumer decides.

``battery``: power in units of the rating (``Game.action``). ``price``: limit price from the feed-in price (-1) to the
buy price (+1); without it buyers bid the buy price and sellers ask the feed-in price. Under contingent dispatch
``draw``, ``fill`` and ``value`` set the blocks: how much of the possible draw is offered, how much of the possible fill
is bid for, and the value of stored energy. 0 is the game's own rule, which also holds without them (keep the reserve,
offer the rest, value energy at its refill cost); -1 is nothing and the feed-in price, 1 all and the day's highest buy
price.
"""

from __future__ import annotations

import torch
from torch import Tensor

from retail.blocks import Terms

BLOCK_HEADS = ("draw", "fill", "value")
Asked = dict[str, Tensor]
"""Columns [B, N] of an action by name of their head."""


class HeadError(ValueError):
    """An action whose columns do not fit the heads of the game; the message names both."""


def named(action: Tensor, chosen: tuple[str, ...] | None, every: tuple[str, ...]) -> Asked:
    """Take an action apart by name.

    Parameters
    ----------
    action : Tensor [B, N, A]
        One column for each chosen head, in [-1, 1].
    chosen : tuple of str or None
        Names of the columns; the first A of ``every`` when None.
    every : tuple of str
        All heads of the game.

    Returns
    -------
    dict of str to Tensor [B, N]
        Columns by name.

    Raises
    ------
    HeadError
        If the number of columns or a name does not fit.
    """
    columns = action.shape[-1]
    names = every[:columns] if chosen is None else chosen
    if len(set(names)) != columns or not set(names) <= set(every):
        raise HeadError(
            f"An action of {columns} columns is named {', '.join(names)}; name each column once, out of "
            f"{', '.join(every)}."
        )
    return dict(zip(names, action.unbind(-1), strict=True))


def without_number(action: Tensor, names: tuple[str, ...]) -> str:
    """Name the agents whose action holds something that is no number.

    Parameters
    ----------
    action : Tensor [B, N, A]
    names : tuple of str
        Of the N prosumers.

    Returns
    -------
    str
        At most three of them.
    """
    lost = (~torch.isfinite(action)).any(-1).any(0).nonzero().ravel().tolist()
    return ", ".join(f"agent {n} ({names[n]})" for n in lost[:3]) + (", ..." if len(lost) > 3 else "")


def asked_terms(usual: Terms, most: tuple[Tensor, Tensor], asked: Asked, range_: tuple[Tensor, Tensor]) -> Terms:
    """Terms of the blocks of contingent dispatch, as far as an action sets them.

    Parameters
    ----------
    usual : Terms
        Of the game's own rule.
    most : tuple of Tensor [B, N] kWh
        Possible draw and fill.
    asked : dict
        ``draw``, ``fill`` and ``value``: from -1 (nothing, least value) over 0 (the game's own rule) to 1 (all that is
        possible, largest value).
    range_ : tuple of Tensor [B, 1] $/kWh
        Least and largest value of stored energy.

    Returns
    -------
    Terms
        Draw and fill in kWh, value in $/kWh.
    """

    def between(head: str, least: Tensor | float, rule: Tensor, most: Tensor) -> Tensor:
        if head not in asked:
            return rule
        wish = asked[head].double().clamp(-1, 1)
        return rule + wish * torch.where(wish > 0, most - rule, rule - least)

    return Terms(
        between("draw", 0.0, usual.draw, most[0]),
        between("fill", 0.0, usual.fill, most[1]),
        between("value", torch.minimum(range_[0], usual.value), usual.value, torch.maximum(range_[1], usual.value)),
    )
