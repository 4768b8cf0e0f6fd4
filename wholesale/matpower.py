"""Power systems in MATPOWER's case format, version 2: tables in memory and `.m` files, plain or gzipped.

The format is described in MATPOWER's user's manual, appendix B. Files are parsed by the package matpowercaseframes,
which reads tables and skips everything else; a file whose other statements change the tables (case33bw divides its
loads by 1000) would be read wrongly and is refused here.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wholesale.reading import content, reading
from wholesale.system import Line, System, Unit

BUS_I, BUS_TYPE, PD, GS = 0, 1, 2, 4
GEN_BUS, GEN_STATUS, P_MAX, P_MIN = 0, 7, 8, 9
F_BUS, T_BUS, BR_R, BR_X, BR_B, RATE_A, TAP, SHIFT, BR_STATUS, ANGLE_MIN, ANGLE_MAX = 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12
MODEL, N_COST, COST = 0, 3, 4
PIECEWISE, POLYNOMIAL, ISOLATED = 1, 2, 4
UNLIMITED_MVA = 1e10
TABLES = ("bus", "gen", "branch", "gencost")


def read_matpower(path: str | Path) -> System:
    """Read a MATPOWER or PGLib case file.

    Parameters
    ----------
    path : str or Path
        A `.m` file of format version 2, or the same gzipped (`.m.gz`).

    Returns
    -------
    System
        One hour, named after the file; buses are named by their numbers, units "row@bus" and lines "row:from-to".
        What is out of service is left out.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no case, holds statements besides its tables, direct-current lines, or costs that are neither
        piecewise linear nor polynomials of at most second degree.
    """
    path = Path(path)
    text = content(path).decode("utf-8", errors="replace")
    with reading(path.name, "MATPOWER case"):
        _only_tables(text, path.name)
        data = _frames(text, path.name)
        if len(data.get("dcline", ())):
            raise ValueError(
                f"Case {path.name} has {len(data['dcline'])} direct-current lines, which are not modelled."
            )
        return from_tables(path.name.removesuffix(".gz").removesuffix(".m"), data)


def from_tables(name: str, data: Mapping[str, Any]) -> System:
    """Build a system from the tables of a case.

    Parameters
    ----------
    name : str
        Name of the system.
    data : mapping
        "baseMVA" in MVA; arrays "bus", "gen", "branch", "gencost" with the columns of the format (MW, per unit,
        degrees, $ per hour).

    Returns
    -------
    System
        Buses are named by their numbers; units and lines out of service and isolated buses are left out.

    Raises
    ------
    ValueError
        A cost is neither piecewise linear nor a polynomial of at most second degree, or units lack costs.
    """
    gen, gencost = data["gen"], data["gencost"]
    if len(gencost) not in (len(gen), 2 * len(gen)):  # twice: costs of reactive power follow
        raise ValueError(f"Case {name} has {len(gen)} units but {len(gencost)} rows of costs; give one row per unit.")
    bus = data["bus"][data["bus"][:, BUS_TYPE] != ISOLATED]
    known = set(bus[:, BUS_I].tolist())
    running = [g for g in np.flatnonzero(gen[:, GEN_STATUS] > 0).tolist() if gen[g, GEN_BUS] in known]
    units = tuple(_unit(g + 1, gen[g], gencost[g]) for g in running)
    branch = data["branch"][data["branch"][:, BR_STATUS] > 0]
    branch = branch[[row[F_BUS] in known and row[T_BUS] in known for row in branch]]
    lines = tuple(_line(k + 1, row) for k, row in enumerate(branch))
    buses = tuple(_name(number) for number in bus[:, BUS_I])
    return System(name, buses, units, lines, bus[:, PD], bus[:, GS], float(data["baseMVA"]))


def _frames(text: str, name: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about how the package builds its tables
        from matpowercaseframes import CaseFrames  # type: ignore[import-untyped]  # noqa: PLC0415  brings pandas, which only this reader needs

        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "case.m"
            copy.write_text(text, encoding="utf-8")
            try:
                frames = CaseFrames(str(copy))
                found = [table for table in TABLES if hasattr(frames, table)]
                # bus numbers come from the column BUS_I: some cases are indexed by names of buses
                data: dict[str, Any] = {table: getattr(frames, table).to_numpy(float) for table in found}
                data["baseMVA"] = float(frames.baseMVA)
                if hasattr(frames, "dcline"):
                    data["dcline"] = frames.dcline.to_numpy()
            except (AttributeError, ValueError, TypeError, KeyError, IndexError) as error:
                raise ValueError(f"{name} is no MATPOWER case that can be read: {error}.") from error
    lacking = [table for table in TABLES if table not in data]
    if lacking:
        raise ValueError(f"Case {name} has no table {', '.join(lacking)}; a case needs {', '.join(TABLES)}.")
    return data


def _only_tables(text: str, name: str) -> None:
    """Refuse statements that would change the tables after they were written."""
    code = re.sub(r"%\{.*?%\}", "", text, flags=re.DOTALL)
    code = re.sub(r"%[^\n]*", "", code)
    code = re.sub(r"'[^'\n]*'", "0", code)
    code = re.sub(r"\.\.\.[^\n]*\n", " ", code)
    code = re.sub(r"^\s*function\s+\w+\s*=\s*\w+[^\n]*$", "", code, count=1, flags=re.MULTILINE)
    code = re.sub(r"mpc\.\w+(\.\w+)*\s*=\s*(\[[^\]]*\]|\{[^}]*\}|[-+\d.eE]+)\s*;?", "", code)
    rest = [line.strip() for line in code.splitlines() if line.strip(" \t;\r")]
    rest = [line for line in rest if line not in ("end", "return", "return;")]
    if rest:
        raise ValueError(
            f"Case {name} holds a statement besides its tables: {rest[0][:80]!r}; it could change units or values. "
            "Write the tables in MW and per unit and remove the statement."
        )


def _name(number: float) -> str:
    return str(int(number))


def _unit(number: int, row: np.ndarray, cost: np.ndarray) -> Unit:
    bus = _name(row[GEN_BUS])
    many, name = int(cost[N_COST]), f"{number}@{bus}"
    low, high = float(row[P_MIN]), float(row[P_MAX])
    if cost[MODEL] == PIECEWISE:
        flat = cost[COST : COST + 2 * many].tolist()
        return Unit(name, bus, low, high, (0.0, 0.0, 0.0), tuple(zip(flat[::2], flat[1::2], strict=True)))
    values = cost[COST : COST + many]
    if cost[MODEL] != POLYNOMIAL or values[:-3].any():
        raise ValueError(
            f"Unit {number} has a cost of model {cost[MODEL]:g} with {many} coefficients; allowed are model 1 (break "
            "points) and model 2 (a polynomial of at most second degree)."
        )
    c2, c1, c0 = np.concatenate([np.zeros(3), values])[-3:].tolist()
    return Unit(name, bus, low, high, (c2, c1, c0))


def _line(number: int, row: np.ndarray) -> Line:
    near, far = _name(row[F_BUS]), _name(row[T_BUS])
    limited = 0 < row[RATE_A] < UNLIMITED_MVA  # the format writes 0 for "no limit" and for "no transformer"
    angles = row[[ANGLE_MIN, ANGLE_MAX]] if len(row) > ANGLE_MAX else np.zeros(2)
    return Line(
        name=f"{number}:{near}-{far}",
        from_bus=near,
        to_bus=far,
        x=float(row[BR_X]),
        r=float(row[BR_R]),
        b=float(row[BR_B]),
        tap=float(row[TAP]) or 1.0,
        shift_deg=float(row[SHIFT]),
        rate_mw=float(row[RATE_A]) if limited else float("inf"),
        angle_min_deg=float(angles[0]) or -360.0,
        angle_max_deg=float(angles[1]) or 360.0,
    )
