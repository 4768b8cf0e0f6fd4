"""The regulated tariff: the leader every other one is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aggregator.leader import BidsForecast, LeaderError, Offer, View, check_information
from aggregator.promise import promise
from retail.tariff import Tariff

TARIFFS = ("time-of-use", "flat")


@dataclass(frozen=True)
class Fixed(BidsForecast):
    """Offer the regulated tariff, whatever the market does.

    Parameters
    ----------
    tariff : str
        ``"time-of-use"``: ``rules.default`` as it is. ``"flat"``: its mean over the day at every step (rounded down to
        ticks), with feed-in price, charges and fee unchanged.
    information : str
        Information set the day-ahead bid rests on.

    Raises
    ------
    LeaderError
        If a parameter is not one of the allowed words.
    """

    constant: ClassVar[bool] = True

    tariff: str = "time-of-use"
    information: str = "forecast"

    def __post_init__(self) -> None:
        check_information("fixed", self.information)
        if self.tariff not in TARIFFS:
            raise LeaderError(f"Leader 'fixed' has tariff {self.tariff!r}; give one of {', '.join(TARIFFS)}.")

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
        promised = promise(view, tariff)
        unknown = "" if promised is not None else "; no promise: its days are not the scenario days"
        return Offer("fixed", self.information, tariff, promised, method=f"regulated {self.tariff} tariff{unknown}")


def _flat(default: Tariff) -> Tariff:
    buy = default.buy.sum(dim=-1, keepdim=True) // default.steps
    return Tariff(buy - default.network - default.levy, default.network, default.levy, default.sell, default.fee)
