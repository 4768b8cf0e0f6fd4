"""Allowed ranges of hyper-parameters, checked in one way for every policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def check_ranges(
    policy: Any,
    *,
    least: Mapping[str, float] | None = None,
    positive: Iterable[str] = (),
    shares: Iterable[str] = (),
    widths: Iterable[str] = (),
) -> None:
    """Refuse hyper-parameters outside their range, all at once.

    Parameters
    ----------
    policy : dataclass
        Holds the fields.
    least : mapping of str to float, optional
        Smallest allowed value by field.
    positive : iterable of str
        Fields that must be above 0.
    shares : iterable of str
        Fields that must be between 0 and 1.
    widths : iterable of str
        Fields that are tuples of layer widths, each at least 1.

    Raises
    ------
    ValueError
        One clause for each wrong field.
    """
    wrong = [
        f"{n} is {getattr(policy, n)}; it must be at least {v}"
        for n, v in (least or {}).items()
        if not getattr(policy, n) >= v
    ]
    wrong += [f"{n} is {getattr(policy, n)}; it must be above 0" for n in positive if not getattr(policy, n) > 0]
    wrong += [
        f"{n} is {getattr(policy, n)}; it must be between 0 and 1" for n in shares if not 0 <= getattr(policy, n) <= 1
    ]
    wrong += [
        f"{n} is {getattr(policy, n)}; every width must be at least 1"
        for n in widths
        if any(width < 1 for width in getattr(policy, n))
    ]
    if wrong:
        raise ValueError("; ".join(wrong))
