"""Heads of an action: the named numbers in [-1, 1] that a prosumer decides.

``battery``: power in units of the rating (``Game.action``). ``price``: limit price from the feed-in price (-1) to the
buy price (+1); without it buyers bid the buy price and sellers ask the feed-in price. Under contingent dispatch
``draw``, ``fill`` and ``value`` set the blocks: share of the possible draw that is offered, share of the possible fill
that is bid for, and value of stored energy between feed-in price and the day's highest buy price; without them a home
keeps its reserve, offers the rest and values energy at its refill cost.
"""

from __future__ import annotations

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


def asked_terms(usual: Terms, most: tuple[Tensor, Tensor], asked: Asked, range_: tuple[Tensor, Tensor]) -> Terms:
    """Terms of the blocks of contingent dispatch, as far as an action sets them.

    Parameters
    ----------
    usual : Terms
        Of the game's own rule.
    most : tuple of Tensor [B, N] kWh
        Possible draw and fill.
    asked : dict
        ``draw`` and ``fill``: shares of the possible; ``value``: place in the range; from -1 (nothing) to 1 (all).
    range_ : tuple of Tensor [B, 1] $/kWh
        Least and largest value of stored energy.

    Returns
    -------
    Terms
        Draw and fill in kWh, value in $/kWh.
    """
    share = {h: (asked[h].double().clamp(-1, 1) + 1) / 2 for h in BLOCK_HEADS if h in asked}
    return Terms(
        most[0] * share["draw"] if "draw" in share else usual.draw,
        most[1] * share["fill"] if "fill" in share else usual.fill,
        range_[0] + share["value"] * (range_[1] - range_[0]) if "value" in share else usual.value,
    )
