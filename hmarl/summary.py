"""The summary of a study: arms x measures, mean and interval over seeds, paired differences to the baseline."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hmarl import storage
from hmarl.measures import MEASURES
from hmarl.statistics import Estimate, interval, paired, plus_minus
from hmarl.study import Arm, Study

WIDTH = 100
COLUMNS = (
    *("arm", "measure", "header", "mean", "low", "high", "seeds", "baseline"),
    *("difference", "difference_low", "difference_high", "not_converged", "replication"),
)


@dataclass(frozen=True)
class Row:
    """Figures of one arm.

    Parameters
    ----------
    arm : str
        Its name.
    seeds : tuple of int
        Finished ones.
    values : dict of str to Estimate
        Measure -> mean over seeds, in the unit of the measure.
    differences : dict of str to Estimate
        Measure -> paired difference to the baseline over common seeds; empty for the baseline.
    unconverged : int or None
        Seeds that did not converge; None if no coordinator said anything.
    replication : int
        Communities the simulated one stands for.
    """

    arm: str
    seeds: tuple[int, ...]
    values: dict[str, Estimate]
    differences: dict[str, Estimate]
    unconverged: int | None
    replication: int


@dataclass(frozen=True)
class Summary:
    """What a study found.

    Parameters
    ----------
    study : Study
        Names, measures, days.
    folder : Path
        Of the results.
    rows : tuple of Row
        Arms with at least one finished seed, in the order of the study.
    """

    study: Study
    folder: Path
    rows: tuple[Row, ...]

    def write(self) -> Path:
        """Write ``summary.csv``: one line per arm and measure, numbers in full; and the complete ``study.yaml``.

        Returns
        -------
        Path
            Of the file.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            for measure, mean in row.values.items():
                change = row.differences.get(measure, Estimate(math.nan, None, 0))
                numbers = [_cell(x) for x in (mean.mean, mean.low, mean.high)]
                changes = [_cell(x) for x in (change.mean, change.low, change.high)]
                about = [mean.count, self.study.baseline.name, *changes, row.unconverged, row.replication]
                writer.writerow([row.arm, measure, MEASURES[measure], *numbers, *about])
        # order of arms, title and measures belong to no run folder, but comparisons and reports need them
        storage.write_bytes(self.folder / "study.yaml", self.study.to_yaml().encode())
        path = self.folder / "summary.csv"
        storage.write_bytes(path, text.getvalue().encode())
        return path

    def show(self, console: Console) -> None:
        """Print the table; plain Markdown where there is no terminal.

        Parameters
        ----------
        console : Console
            Where to print; 100 columns suffice.
        """
        measures = list(self.study.measure)
        title = self.study.title or self.study.name
        while measures:
            header, lines = self._lines(measures)
            shown = _fitting(header, lines)
            header, lines = header[: shown + 1], [line[: shown + 1] for line in lines]
            if console.is_terminal:
                console.print(_table(title, header, lines))
            else:
                _say(console, _markdown(header, lines))
            measures, title = measures[shown:], ""
        for note in self.notes():
            _say(console, note)

    def notes(self) -> list[str]:
        """Say what the figures rest on.

        Returns
        -------
        list of str
            Sentences; the last one names the folder of the results.
        """
        base = self.study.baseline
        days = base.calendar
        judged = "held-out days" if days.held_out_days else "days (none held out: they were trained on)"
        notes = [
            f"Mean ± half of the 95 % t interval over seeds, on {len(days.judged_days)} {judged}. "
            f"Δ: paired difference to the baseline {base.name}; * where its interval excludes 0."
        ]
        if any(estimate.count == 1 for row in self.rows for estimate in row.values.values()):
            notes.append("A figure without ± rests on a single seed and has no interval.")
        factors = sorted({row.replication for row in self.rows})
        notes.append(
            f"Replication factor {' or '.join(map(str, factors))}: so many equal communities stand behind the bid."
        )
        stuck = [f"{row.arm} ({row.unconverged} of {len(row.seeds)} seeds)" for row in self.rows if row.unconverged]
        if stuck:
            notes.append(f"NOT CONVERGED: {', '.join(stuck)}; see certificate.json of each seed.")
        lost = [arm.name for arm in self.study.arms if arm.name not in [row.arm for row in self.rows]]
        if lost:
            notes.append(f"No finished run: {', '.join(lost)}.")
        return [*(textwrap.fill(note, WIDTH) for note in notes), f"Results: {self.folder}"]

    def _lines(self, measures: list[str]) -> tuple[list[str], list[list[str]]]:
        digits = {measure: self._digits(measure) for measure in measures}
        lines = []
        for row in self.rows:
            name = f"{row.arm} ({len(row.seeds)} seed{'s' * (len(row.seeds) != 1)})"
            lines.append([name, *(_figure(row.values.get(m), digits[m]) for m in measures)])
            if row.differences:
                changes = [_figure(row.differences.get(m), digits[m], sign=True) for m in measures]
                lines.append([f"  Δ to {self.study.baseline.name}", *changes])
            if row.unconverged:
                state = f"  NOT CONVERGED ({row.unconverged} of {len(row.seeds)})"
                lines.append([state, *("" for _ in measures)])
        return ["arm", *(MEASURES[m] for m in measures)], lines

    def _digits(self, measure: str) -> int:
        """Find how many decimals show four figures of the largest mean."""
        sizes = [abs(row.values[measure].mean) for row in self.rows if measure in row.values]
        largest = max((size for size in sizes if math.isfinite(size) and size > 0), default=1.0)
        return min(max(3 - math.floor(math.log10(largest)), 0), 5)


def summarize(study: Study, out: Path) -> Summary:
    """Collect the finished runs of a study.

    Parameters
    ----------
    study : Study
        Which arms, seeds and measures.
    out : Path
        Folder of all runs.

    Returns
    -------
    Summary
        Runs of a different study in the same folder do not count.
    """
    found = {arm.name: _measured(study, arm, out) for arm in study.arms}
    base = found[study.baseline.name]
    rows = []
    for arm in study.arms:
        runs = found[arm.name]
        if not runs:
            continue
        common = [seed for seed in runs if seed in base] if not arm.baseline else []
        values, differences = {}, {}
        for measure in study.measure:
            values[measure] = interval([_value(run, measure) for run in runs.values()])
            if common:
                pairs = [(_value(runs[seed], measure), _value(base[seed], measure)) for seed in common]
                differences[measure] = paired([own for own, _ in pairs], [other for _, other in pairs])
        said = [run["converged"] for run in runs.values() if run["converged"] is not None]
        unconverged = said.count(False) if said else None
        rows.append(Row(arm.name, tuple(runs), values, differences, unconverged, arm.replication))
    return Summary(study, out / study.name, tuple(rows))


def _measured(study: Study, arm: Arm, out: Path) -> dict[int, dict[str, Any]]:
    runs = {}
    for seed in study.seeds:
        folder = storage.job_folder(out, study.name, arm.name, seed)
        if storage.finished(folder, arm.resolved()):
            certificate = storage.read_json(folder / storage.CERTIFICATE) or {}
            runs[seed] = {"measures": storage.measured(folder), "converged": certificate.get("converged")}
    return runs


def _value(run: dict[str, Any], measure: str) -> float:
    return float(run["measures"].get(measure, math.nan))


def _figure(estimate: Estimate | None, digits: int, *, sign: bool = False) -> str:
    if estimate is None or not math.isfinite(estimate.mean):
        return "-"
    # A difference that shows as 0 is rounding, or too small to be marked.
    mark = "*" if sign and estimate.differs_from_zero and round(estimate.mean, digits) != 0 else ""
    return plus_minus(estimate.mean, estimate.half_width, digits, sign=sign) + mark


def _fitting(header: list[str], lines: list[list[str]]) -> int:
    """Count the measures that fit beside the first column; at least one."""
    widths = [max(_width(line[place]) for line in [header, *lines]) + 3 for place in range(len(header))]
    shown = 1
    while shown + 1 < len(header) and sum(widths[: shown + 2]) + 1 <= WIDTH:
        shown += 1
    return shown


def _table(title: str, header: list[str], lines: list[list[str]]) -> Table:
    table = Table(title=title or None, title_justify="left")
    table.add_column(header[0])
    for name in header[1:]:
        table.add_column(Text("\n".join(_parts(name))), justify="right")
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _markdown(header: list[str], lines: list[list[str]]) -> str:
    names, units = [_parts(name)[0] for name in header], [_parts(name)[1] for name in header]
    widths = [max(_width(line[place]) for line in [header, *lines]) for place in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = ""
    for row in [names, rule, units, *lines]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        text += f"| {' | '.join([row[0].ljust(widths[0]), *cells[1:]])} |\n"
    return text


def _parts(header: str) -> tuple[str, str]:
    """Name and unit of a header stand below each other."""
    name, bracket, unit = header.partition(" [")
    return name, f"[{unit}" if bracket else ""


def _width(cell: str) -> int:
    return max(map(len, _parts(cell)))


def _cell(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
