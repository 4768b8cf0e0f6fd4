"""Figures of a report: one style, colours that everybody can tell apart, SVG with the same bytes for the same data."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PNG_DPI = 160
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A")
"""Okabe and Ito (2008): told apart with any colour vision, and in grey by their lines."""
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (5, 5)))
GOOD, BAD, QUIET = COLOURS[0], COLOURS[1], "#B5B5B5"
WIDTH = 4.8
"""Inches: two figures side by side on a screen, one on a phone, both readable."""
STYLE: Any = {
    "svg.hashsalt": "hmarl",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.parse_math": False,
}


Shown = TypeVar("Shown")


class Lacking(ValueError):
    """A run does not have what a figure shows; the message says what."""


@dataclass(frozen=True)
class Picture:
    """One figure.

    Parameters
    ----------
    name : str
        Of its file.
    title : str
        What it shows.
    caption : str
        How to read it; units, days, seeds.
    svg : str
        The drawing.
    png : bytes
        The same in pixels, for slides and word processors.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes = field(repr=False)


def styled(draw: Callable[[Shown], Picture]) -> Callable[[Shown], Picture]:
    """Let a function draw in the one style of all figures.

    Parameters
    ----------
    draw : callable
        Returns a `Picture`.

    Returns
    -------
    callable
        The same, whatever else uses matplotlib in this process.
    """

    @wraps(draw)
    def drawn(shown: Shown) -> Picture:
        with mpl.rc_context(STYLE):
            return draw(shown)

    return drawn


def panel(rows: int = 1, height: float = 2.6, columns: int = 1, **settings: Any) -> tuple[Figure, list[Axes]]:
    """Begin a figure.

    Parameters
    ----------
    rows, columns : int
        Of axes.
    height : float [inch]
        Of one row.
    **settings
        For ``Figure.subplots``.

    Returns
    -------
    figure, axes
        Axes row by row.
    """
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **settings)
    return figure, list(axes.flat)


def picture(figure: Figure, name: str, title: str, caption: str) -> Picture:
    """Finish a figure.

    Parameters
    ----------
    figure : Figure
        From `panel`.
    name, title, caption : str
        See `Picture`.

    Returns
    -------
    Picture
        Its SVG has ids of its own, so that many can stand in one page.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return Picture(name, title, caption, svg, pixels.getvalue())


def line_of(place: int) -> dict[str, Any]:
    """Colour and line of the n-th thing.

    Parameters
    ----------
    place : int
        From 0.

    Returns
    -------
    dict
        For ``Axes.plot``.
    """
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place % len(LINES)]}


def hours(axes: Axes, steps: int) -> None:
    """Label the lower axis with the hours of a day.

    Parameters
    ----------
    axes : Axes
        Whose values are steps of the day.
    steps : int
        Of a day.
    """
    axes.set_xlim(0, steps)
    axes.set_xticks([steps * hour / 24 for hour in (0, 6, 12, 18, 24)], ["0", "6", "12", "18", "24 h"])


def wrapped(name: str, width: int = 18) -> str:
    """Break a long name into lines.

    Parameters
    ----------
    name : str
        Of an arm or a measure.
    width : int
        Characters in a line.

    Returns
    -------
    str
        With line breaks.
    """
    words = re.split(r"(?<=[ _-])", name)
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.strip() for line in lines)


def need(columns: Sequence[str], wanted: Sequence[str], what: str) -> None:
    """Refuse to draw what is not there.

    Parameters
    ----------
    columns : sequence of str
        What a table has.
    wanted : sequence of str
        What the figure needs.
    what : str
        Name of the table.

    Raises
    ------
    Lacking
        Naming the columns that are not there.
    """
    lost = [name for name in wanted if name not in columns]
    if lost:
        raise Lacking(f"table {what} of these runs has no {', '.join(lost)}")
