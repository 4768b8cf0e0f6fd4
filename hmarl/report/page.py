"""A report: one page that needs nothing else, and its figures as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment

from hmarl import storage
from hmarl.ranking import HEADS, NOTE, rank
from hmarl.report import (
    certificate_table,
    figures_effects,
    figures_learners,
    figures_money,
    figures_place,
    figures_time,
    report_tables,
    words,
)
from hmarl.report.cells import Cell, Row, Table
from hmarl.report.figures import Lacking, Picture
from hmarl.report.words import Card
from hmarl.results import Results, ResultsError, load
from hmarl.study_file.plan import Rank

LARGEST = 3_000_000
"""Bytes of a page."""
PAGE, FOLDER = "report.html", "figures"
MISSING = "this report has no sweep; `hmarl sweep` fills it"

Draw = Callable[[Results], Picture]
PARTS: tuple[tuple[str, str, tuple[tuple[str, Draw], ...]], ...] = (
    (
        "people",
        "Who gains, who pays",
        (
            ("Who gains and who loses", figures_money.gains),
            ("A household's bill", figures_money.bill),
            ("Who paid whom", figures_money.payments),
            ("The welfare account", figures_money.welfare),
        ),
    ),
    (
        "market",
        "Prices, energy, network",
        (
            ("Prices by hour of the day", figures_time.prices),
            ("Energy by hour of the day", figures_time.energy),
            ("The network and its prices", figures_place.network),
        ),
    ),
    (
        "followers",
        "Followers and learning",
        (
            ("How the followers learned", figures_time.learning),
            ("Where the followers stand", figures_money.yardsticks),
            ("Net load of the clusters of homes", figures_time.clusters),
            ("How long the followers learned", figures_learners.training_times),
            ("How many groups of homes", figures_learners.groupings),
            ("What groups of homes trade", figures_learners.group_days),
            ("Forecast and actual trades of a home", figures_learners.forecasts),
        ),
    ),
)
"""Sections between summary and certificate: id, title, figures with their titles."""


@dataclass
class Section:
    """One part of the page."""

    id: str
    title: str
    warnings: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    words: list[Card] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    blocks: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A page and its figures.

    Parameters
    ----------
    html : str
        The page, complete.
    pictures : tuple of Picture
        Its figures.
    """

    html: str
    pictures: tuple[Picture, ...]

    def write(self, folder: Path) -> Path:
        """Write ``report.html``, ``figures/NAME.svg`` and ``figures/NAME.png``.

        Parameters
        ----------
        folder : Path
            Existing.

        Returns
        -------
        Path
            Of the page.
        """
        (folder / FOLDER).mkdir(exist_ok=True)
        for drawn in self.pictures:
            svg = drawn.svg.replace("<svg", '<?xml version="1.0" encoding="utf-8"?>\n<svg', 1)
            storage.write_bytes(folder / FOLDER / f"{drawn.name}.svg", svg.encode())
            storage.write_bytes(folder / FOLDER / f"{drawn.name}.png", drawn.png)
        storage.write_bytes(folder / PAGE, self.html.encode())
        return folder / PAGE


def report(results: Results, sweep: Path | None = None) -> Report:
    """Make the report of a study.

    Parameters
    ----------
    results : Results
        Of one study; no sweep.
    sweep : Path, optional
        Folder of its sweep; ``indices.csv`` in it is shown.

    Returns
    -------
    Report
        The same bytes for the same runs. What a run does not have is left out with a line that says so.

    Raises
    ------
    ResultsError
        If there are several studies or only a sweep, or the page would be larger than 3 MB.
    """
    studies = sorted({run.study for run in results.runs})
    if len(studies) > 1:
        raise ResultsError(f"{results.where} holds several studies ({', '.join(studies)}); report one at a time.")
    if any(run.point is not None for run in results.runs):
        raise ResultsError(f"{results.where} holds a sweep; run the study itself too (hmarl run) and report that.")
    sections = [
        _summary(results),
        *(_part(results, *part) for part in PARTS),
        _certificate(results),
        _sensitivity(sweep),
    ]
    sections.append(_configuration(results))
    source = files("hmarl.report").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=False, keep_trailing_newline=True).from_string(source)
    title = results.about.get("title") or studies[0]
    html = template.render(title=title, subtitle=words.subtitle(results), sections=sections)
    if len(html.encode()) > LARGEST:
        raise ResultsError(
            f"The report would have {len(html.encode()) / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}; report fewer "
            "arms at a time, e.g. with a pattern."
        )
    return Report(html, tuple(picture for section in sections for picture in section.pictures))


def report_folder(folder: str | Path) -> Path:
    """Make and write the report of a study's folder; its sweep beside it is taken along.

    Parameters
    ----------
    folder : str or Path
        What `hmarl.results.load` takes.

    Returns
    -------
    Path
        Of the page.
    """
    results = load(folder)
    beside = results.folder.with_name(f"{results.folder.name}-sweep")
    return report(results, beside if beside.is_dir() else None).write(results.folder)


def _summary(results: Results) -> Section:
    section = Section("summary", "Summary", warnings=words.warnings(results))
    changes = report_tables.differences(results)
    section.texts = words.opening(results)
    section.words = words.cards(results, changes)
    section.tables = [report_tables.measures(results, changes), *_ranking(results)]
    _add(section, "Differences to the baseline", lambda: figures_effects.differences(changes))
    return section


def _ranking(results: Results) -> list[Table]:
    """Arms in order, where the study asks for it."""
    if not results.about.get("rank"):
        return []
    found = rank(results, Rank(**results.about["rank"]))
    tables = []
    for group, lines in found.lines():
        rows = [Row([Cell(cell) for cell in line]) for line in lines]
        title = f"{found.title}, {group}" if group else found.title
        tables.append(Table(f"{title}. {NOTE}", list(HEADS), rows))
    return tables


def _part(results: Results, name: str, title: str, figures: tuple[tuple[str, Draw], ...]) -> Section:
    section = Section(name, title)
    for said, draw in figures:
        _add(section, said, lambda draw=draw: draw(results))  # type: ignore[misc]
    return section


def _certificate(results: Results) -> Section:
    section = Section("certificate", "Certificate")
    section.texts = [
        "What each run proves about itself: whether it came to rest, what its leader promised and delivered, and how "
        "much leader and homes could still gain by acting otherwise."
    ]
    section.tables = [certificate_table.key_lines(results), certificate_table.everything(results)]
    return section


def _sensitivity(sweep: Path | None) -> Section:
    section = Section("sensitivity", "Sensitivity")
    if sweep is None or not (sweep / "indices.csv").is_file():
        section.left_out = [f"What matters most: {MISSING}."]
        return section
    found = pd.read_csv(sweep / "indices.csv")
    _add(section, "What matters most", lambda: figures_effects.tornado(found))
    points = sweep / "sweep.csv"
    if found["path"].nunique() == 1 and points.is_file():
        _add(section, "Measures against what was varied", lambda: figures_effects.responses(found, pd.read_csv(points)))
    if len(found):
        section.tables = [report_tables.indices(found)]
    return section


def _configuration(results: Results) -> Section:
    section = Section("configuration", "Configuration and versions")
    section.blocks = report_tables.configuration(results)
    section.tables = [report_tables.versions(results)]
    return section


def _add(section: Section, title: str, draw: Callable[[], Picture]) -> None:
    try:
        section.pictures.append(draw())
    except Lacking as why:
        section.left_out.append(f"{title}: {why}.")
