"""Mistakes in what a user wrote: all of them at once, each as path, value, allowed values and nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

MISSING = "is missing"
"""Reason of a problem that is not about a value but about its absence."""


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Parameters
    ----------
    path : str
        Where, with dots: ``arms.mark-up.leader.margin``.
    value : Any
        What stands there (for an unknown key: the key).
    allowed : str
        What may stand there, e.g. ``an integer >= 1``.
    nearest : str, optional
        The allowed name that is spelled most alike.
    reason : str
        Completes the sentence "value ...".
    line : int, optional
        Line of the file, counted from 1.
    """

    path: str
    value: Any
    allowed: str = ""
    nearest: str | None = None
    reason: str = "is not allowed"
    line: int | None = None

    def __str__(self) -> str:
        said = "" if self.reason == MISSING else f"{_short(self.value)} "
        allowed = f" ({self.allowed})" if self.allowed else ""
        hint = f"; did you mean '{self.nearest}'?" if self.nearest else ""
        where = f"line {self.line}: " if self.line else ""
        return printable(f"{where}{self.path}: {said}{self.reason}{allowed}{hint}")

    def under(self, prefix: str) -> Problem:
        """Show the same mistake from one level up.

        Parameters
        ----------
        prefix : str
            Path to put in front; an empty one changes nothing.

        Returns
        -------
        Problem
            With path ``prefix.path``.
        """
        if not prefix:
            return self
        return replace(self, path=f"{prefix}.{self.path}" if self.path else prefix)


class MistakesError(ValueError):
    """Something a user wrote cannot be used; the message lists every mistake, one a line.

    Parameters
    ----------
    problems : sequence of Problem
        At least one.
    where : str
        What was read, e.g. the file.
    """

    def __init__(self, problems: Sequence[Problem], where: str = "") -> None:
        self.problems = tuple(problems)
        self.where = where
        count = "1 mistake" if len(self.problems) == 1 else f"{len(self.problems)} mistakes"
        head = [f"{where} has {count}:"] if where else []
        indent = "  " if where else ""
        super().__init__("\n".join([*head, *(f"{indent}{problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[Any, ...]:
        # an exception is pickled by its message unless told otherwise, and workers send theirs home
        return type(self), (self.problems, self.where)


class StudyError(MistakesError):
    """A study that cannot be run as written."""


class PluginError(MistakesError):
    """A policy, auction, market, leader or source that does not exist or got wrong parameters."""


def nearest(word: object, names: Iterable[str]) -> str | None:
    """Find the name spelled most like a word.

    Parameters
    ----------
    word : object
        What was written; anything but a string has no nearest name.
    names : iterable of str
        What is allowed.

    Returns
    -------
    str or None
        None if nothing is alike.
    """
    if not isinstance(word, str):
        return None
    folded = {name.lower().replace("_", "-"): name for name in names}
    found = difflib.get_close_matches(word.lower().replace("_", "-"), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def unknown(path: str, key: object, names: Iterable[str], *, what: str, label: str = "allowed") -> Problem:
    """State the mistake of a name that does not exist.

    Parameters
    ----------
    path : str
        Where it stands.
    key : object
        What was written.
    names : iterable of str
        What exists.
    what : str
        Completes "is no ...", e.g. ``parameter of leader mark-up``.
    label : str
        What the names are, e.g. ``parameters``.

    Returns
    -------
    Problem
        With the nearest name.
    """
    names = list(names)
    allowed = f"{label}: {', '.join(names)}" if names else f"there are no {label}"
    return Problem(path, key, allowed, nearest(key, names), f"is no {what}")


def printable(text: str) -> str:
    """Make a text safe to print: what a file holds may neither steer the terminal nor fail to be encoded.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    str
        Control characters, line ends and lone surrogates are shown as Python writes them.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
