"""Time-of-use blocks and menus of a study file as labels and prices by hour of the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HOURS = 24
Entry = float | Sequence[float] | Mapping[str, float]


def block_of_hour(blocks: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Name of the block that each hour of the day belongs to.

    Parameters
    ----------
    blocks : mapping of str to sequence of str
        Spans of hours by block, such as ``{"peak": ["15-20"], "offpeak": ["20-15"]}``: from the first hour up to but
        not including the last, past midnight if the first is the larger.

    Returns
    -------
    tuple of str [24]

    Raises
    ------
    ValueError
        If a span is no span, or an hour is in no block or in two; all mistakes at once.
    """
    owner: list[str | None] = [None] * HOURS
    mistakes = []
    for name, spans in blocks.items():
        for span in spans:
            first, dash, last = (part.strip() for part in str(span).partition("-"))
            if not (dash and first.isdecimal() and last.isdecimal() and int(first) < HOURS and int(last) <= HOURS):
                mistakes.append(f"block '{name}' has the span {span!r}; give hours such as 7-15, each 0 to 24")
                continue
            for k in range(((int(last) - int(first) - 1) % HOURS) + 1):
                hour = (int(first) + k) % HOURS
                if owner[hour] is not None:
                    mistakes.append(f"hour {hour} is in block '{owner[hour]}' and again in '{name}'; keep one")
                owner[hour] = name
    missing = [hour for hour, name in enumerate(owner) if name is None]
    if missing and not mistakes:
        mistakes.append(f"no block has hour {missing[0]}; put each of 24 hours into one block")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return tuple(name for name in owner if name is not None)


def menu_by_hour(
    menu: Mapping[str, Entry], blocks: Mapping[str, Sequence[str]] | None
) -> tuple[tuple[float, ...], ...]:
    """Prices of each tariff of a menu by hour of the day.

    Parameters
    ----------
    menu : mapping of str to float, sequence of 24 floats or mapping of block to float
        Whole price of bought energy by name of the tariff, $/kWh.
    blocks : mapping, optional
        See ``block_of_hour``; needed where a tariff has prices by block.

    Returns
    -------
    tuple of tuple of float [K][24] $/kWh

    Raises
    ------
    ValueError
        If the menu is empty or a tariff does not fit; all mistakes at once.
    """
    if not menu:
        raise ValueError("menu is empty; give at least one tariff, or leave the menu out")
    hours = None if blocks is None else block_of_hour(blocks)
    found, mistakes = [], []
    for name, entry in menu.items():
        if isinstance(entry, Mapping):
            if hours is None:
                mistakes.append(f"menu.{name} has prices by block, but there are no blocks; name them under blocks")
            elif set(entry) != set(hours):
                needed = ", ".join(sorted(set(hours)))
                mistakes.append(f"menu.{name} has prices for {', '.join(sorted(entry))}; give one for each of {needed}")
            else:
                found.append(tuple(float(entry[block]) for block in hours))
        elif isinstance(entry, Sequence):
            if len(entry) != HOURS:
                mistakes.append(f"menu.{name} has {len(entry)} prices; give 24, one, or one for each block")
            else:
                found.append(tuple(float(price) for price in entry))
        else:
            found.append((float(entry),) * HOURS)
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return tuple(found)
