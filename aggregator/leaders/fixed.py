"""The regulated tariff: the leader every other one is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from aggregator.leader import Bids, Offer, View
from aggregator.promise import seal
from retail.tariff import Tariff

TARIFFS = ("time-of-use", "flat")


@dataclass(frozen=True)
class Fixed(Bids):
    """Offer the regulated tariff, whatever the market does.

    Parameters
    ----------
    tariff : str
        ``"time-of-use"``: ``rules.default`` as it is. ``"flat"``: its mean over the day at every step (rounded down to
        ticks), with feed-in price, charges and fee unchanged.
    information, bid, risk, block_hours, shift
        See ``Bids``.

    Raises
    ------
    LeaderError
        If a parameter is not one of the allowed words.
    """

    name: ClassVar[str] = "fixed"
    constant: ClassVar[bool] = True

    tariff: str = "time-of-use"

    def __post_init__(self) -> None:
        known = self.tariff in TARIFFS
        self.check([] if known else [f"tariff is {self.tariff!r}; give one of {', '.join(TARIFFS)}."])

    def offer(self, view: View) -> Offer:
        """Offer the default tariff; the promise is what it earns in the leader's picture.

        Parameters
        ----------
        view : View

        Returns
        -------
        Offer
            ``promised`` is None where the default tariff differs by day and its days are not the scenario days.
        """
        view.rules.check()
        tariff = view.rules.default if self.tariff == "time-of-use" else _flat(view.rules.default)
        made = Offer(self.name, self.information, tariff, None, method=f"regulated {self.tariff} tariff")
        offer = seal(view, made)
        if offer.promised is None:
            return replace(offer, method=f"{offer.method}; no promise: its days are not the scenario days")
        return offer


def _flat(default: Tariff) -> Tariff:
    buy = default.buy.sum(dim=-1, keepdim=True) // default.steps
    return Tariff(buy - default.network - default.levy, default.network, default.levy, default.sell, default.fee)
