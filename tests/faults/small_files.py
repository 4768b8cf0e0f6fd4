"""One small sound file of every form that can be read, written here, with its reader."""

import csv
import gzip
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from retail.data import Profiles, Window
from retail.data.ausgrid import Ausgrid
from retail.data.ausgrid_csv import AusgridCsv
from retail.data.citylearn import CityLearn
from retail.data.profiles import WideTables
from retail.time_of_use import read_tariff
from wholesale import System, case, read_egret, read_matpower, read_pglib_uc, read_pypsa, read_rts_gmlc, write_pypsa
from wholesale.price_series import PriceSeries

FIRST, DAYS = date(2012, 7, 1), 2
HOURS = Window(FIRST, DAYS, 60, "UTC")
CLOCK = pd.date_range("2012-07-01", periods=24 * DAYS, freq="h")
LOAD = np.round(0.3 + 0.1 * np.sin(np.arange(24 * DAYS)), 3)
SUN = np.round(np.clip(np.sin((np.arange(24 * DAYS) % 24 - 6) / 12 * np.pi), 0, None), 3)


@dataclass(frozen=True)
class Form:
    """A form of file: how a sound folder is written, and how it is read."""

    write: object
    read: object


def _wide(folder, suffix):
    for name, base in (("load", LOAD), ("pv", SUN)):
        table = pd.DataFrame({"timestamp": CLOCK, "a": base, "b": np.round(base * 1.5, 3)})
        path = folder / f"{name}.{suffix}"
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)


def _tidy(folder, suffix):
    parts = [
        pd.DataFrame({"customer": c, "postcode": 2000 + c, "capacity_kw": 1.5, "channel": kind, "timestamp": CLOCK,
                      "kwh": base})
        for c in (1, 2) for kind, base in (("GC", LOAD), ("GG", SUN))
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    path = folder / f"homes.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)


def _yearly(folder):
    ends = ",".join(f"{m // 60 % 24}:{m % 60:02d}" for m in range(30, 1441, 30))
    lines = [f"Customer,Generator Capacity,Postcode,Consumption Category,date,{ends},Row Quality"]
    for customer in (1, 2):
        for day in range(DAYS):
            for kind, base in (("GC", LOAD), ("GG", SUN)):
                cells = ",".join(f"{x / 2:.3f}" for x in np.repeat(base[24 * day : 24 * day + 24], 2))
                lines.append(f"{customer},1.5,2000,{kind},{1 + day}/07/2012,{cells},")
    (folder / "2012-2013 Solar home electricity data v2.csv").write_text("\n".join(lines) + "\n")


def _buildings(folder):
    hour = CLOCK.hour + 1
    for n in (1, 2):
        table = pd.DataFrame({"month": CLOCK.month, "hour": hour, "day_type": (CLOCK.dayofweek + 1).to_numpy(),
                              "non_shiftable_load": LOAD, "dhw_demand": 0.1, "cooling_demand": 0.2,
                              "solar_generation": SUN * 500})  # fmt: skip
        table.to_csv(folder / f"Building_{n}.csv", index=False)
    (folder / "devices.json").write_text(json.dumps({f"Building_{n}": {"pv_kw": 4.0} for n in (1, 2)}))


def _prices(folder):
    pd.DataFrame({"time": CLOCK, "price_per_mwh": 30 + LOAD}).to_csv(folder / "prices.csv", index=False)


def _tariffs(folder):
    head = "id,offpeak_per_kwh,shoulder_per_kwh,peak_per_kwh,fit_per_kwh,windows,currency"
    (folder / "tariffs.csv").write_text(f"{head}\nA,0.15,0.22,0.44,0.04,AER2019,AUD\nB,0.1,0.2,0.3,0.05,simple,AUD\n")


MATPOWER = """function mpc = small
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
  1 3 0 0 0 0 1 1 0 230 1 1.1 0.9;
  2 1 90 30 0 0 1 1 0 230 1 1.1 0.9;
  3 1 60 20 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [
  1 0 0 30 -30 1 100 1 120 0;
  3 0 0 30 -30 1 100 1 80 10;
];
mpc.branch = [
  1 2 0.01 0.1 0.02 100 0 0 0 0 1 -360 360;
  2 3 0.01 0.1 0.02 50 0 0 0 0 1 -360 360;
  1 3 0.01 0.2 0.02 0 0 0 0.98 1 1 -30 30;
];
mpc.gencost = [
  2 0 0 3 0.01 20 0 0 0 0;
  1 0 0 3 0 0 40 800 80 2000;
];
"""


def _matpower(folder, packed):
    path = folder / ("case.m.gz" if packed else "case.m")
    path.write_bytes(gzip.compress(MATPOWER.encode(), mtime=0) if packed else MATPOWER.encode())


def _json(folder, values, packed=False):
    text = json.dumps(values, indent=1).encode()
    path = folder / ("case.json.gz" if packed else "case.json")
    path.write_bytes(gzip.compress(text, mtime=0) if packed else text)


THERMAL = {
    "must_run": 0, "power_output_minimum": 10.0, "power_output_maximum": 60.0, "ramp_up_limit": 40.0,
    "ramp_down_limit": 40.0, "ramp_startup_limit": 30.0, "ramp_shutdown_limit": 30.0, "time_up_minimum": 2,
    "time_down_minimum": 1, "power_output_t0": 0.0, "unit_on_t0": 0, "time_down_t0": 3, "time_up_t0": 0,
    "startup": [{"lag": 1, "cost": 50.0}, {"lag": 3, "cost": 90.0}],
    "piecewise_production": [{"mw": 10.0, "cost": 200.0}, {"mw": 60.0, "cost": 1800.0}],
}  # fmt: skip
PGLIB_UC = {
    "time_periods": 3, "demand": [40.0, 50.0, 45.0], "reserves": [4.0, 5.0, 4.5],
    "thermal_generators": {"g1": THERMAL, "g2": THERMAL | {"must_run": 1, "unit_on_t0": 1, "time_up_t0": 5,
                                                          "power_output_t0": 20.0}},
    "renewable_generators": {"w": {"power_output_minimum": [0.0] * 3, "power_output_maximum": [5.0, 9.0, 7.0]}},
}  # fmt: skip
EGRET = {
    "system": {"time_keys": ["1", "2"], "reserve_requirement": 3.0, "baseMVA": 100.0},
    "elements": {
        "bus": {"n1": {}, "n2": {}},
        "load": {"d": {"bus": "n2", "p_load": {"values": [40.0, 55.0]}}},
        "branch": {"l": {"from_bus": "n1", "to_bus": "n2", "reactance": 0.1, "rating_long_term": 80.0}},
        "generator": {"g": {"generator_type": "thermal", "bus": "n1", "p_min": 10.0, "p_max": 90.0,
                            "p_cost": {"cost_curve_type": "polynomial", "values": {"0": 5.0, "1": 20.0, "2": 0.01}},
                            "min_up_time": 2, "min_down_time": 1, "initial_status": 3, "initial_p_output": 30.0,
                            "startup_cost": [[1, 40.0]]}},
    },
}  # fmt: skip


def _rts(folder):
    def table(name, *rows):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    bus = {"Bus ID": "1", "MW Load": 50, "Area": "1", "MW Shunt G": 0}
    table("bus.csv", bus, bus | {"Bus ID": "2", "MW Load": 30})
    table("branch.csv", {"UID": "A1", "From Bus": "1", "To Bus": "2", "X": 0.1, "R": 0.01, "B": 0.02, "Tr Ratio": 0,
                         "Cont Rating": 175})  # fmt: skip
    steam = {
        "GEN UID": "1_STEAM_1", "Bus ID": "1", "Unit Type": "STEAM", "PMin MW": 20, "PMax MW": 100, "MW Inj": 50,
        "VOM": 1, "Fuel Price $/MMBTU": 2.1, "HR_avg_0": 12000, "Output_pct_0": 0.2, "Output_pct_1": 0.6,
        "Output_pct_2": 1.0, "Output_pct_3": "NA", "Output_pct_4": "NA", "HR_incr_1": 9000, "HR_incr_2": 9500,
        "HR_incr_3": "NA", "HR_incr_4": "NA", "Ramp Rate MW/Min": 2, "Min Up Time Hr": 8, "Min Down Time Hr": 4,
        "Start Time Hot Hr": 4, "Start Time Warm Hr": 8, "Start Time Cold Hr": 12, "Start Heat Hot MBTU": 100,
        "Start Heat Warm MBTU": 200, "Start Heat Cold MBTU": 300, "Non Fuel Start Cost $": 0,
        "Non Fuel Shutdown Cost $": 0,
    }  # fmt: skip
    table("gen.csv", steam, steam | {"GEN UID": "2_WIND_1", "Bus ID": "2", "Unit Type": "WIND", "PMax MW": 30})
    for kind, columns in (("load", {"1": 80}), ("wind", {"2_WIND_1": 12})):
        rows = [{"Year": 2020, "Month": 1, "Day": 1, "Period": p} | columns for p in (1, 2, 3)]
        table(f"day_ahead_{kind}.csv", *rows)


def _wide_form(suffix):
    source = WideTables(load=f"load.{suffix}", pv=f"pv.{suffix}")
    return Form(lambda folder: _wide(folder, suffix), lambda folder: source.read(HOURS, folder, 0))


def _tidy_form(suffix):
    source = Ausgrid(file=f"homes.{suffix}")
    return Form(lambda folder: _tidy(folder, suffix), lambda folder: source.read(HOURS, folder, 0))


FORMS = {
    "wide CSV": _wide_form("csv"),
    "wide parquet": _wide_form("parquet"),
    "tidy CSV": _tidy_form("csv"),
    "tidy parquet": _tidy_form("parquet"),
    "yearly Ausgrid": Form(_yearly, lambda folder: AusgridCsv(folder=".").read(HOURS, folder, 0)),
    "buildings": Form(
        _buildings, lambda folder: CityLearn(file=".", first=FIRST, devices="devices.json").read(HOURS, folder, 0)
    ),
    "prices": Form(_prices, lambda folder: PriceSeries(str(folder / "prices.csv")).prices(24)),
    "tariffs": Form(_tariffs, lambda folder: read_tariff(folder / "tariffs.csv", "A")),
    "MATPOWER": Form(lambda folder: _matpower(folder, False), lambda folder: read_matpower(folder / "case.m")),
    "MATPOWER packed": Form(lambda folder: _matpower(folder, True), lambda folder: read_matpower(folder / "case.m.gz")),
    "PGLib-UC": Form(lambda folder: _json(folder, PGLIB_UC), lambda folder: read_pglib_uc(folder / "case.json")),
    "PGLib-UC packed": Form(
        lambda folder: _json(folder, PGLIB_UC, True), lambda folder: read_pglib_uc(folder / "case.json.gz")
    ),
    "Egret": Form(lambda folder: _json(folder, EGRET), lambda folder: read_egret(folder / "case.json")),
    "PyPSA": Form(lambda folder: write_pypsa(case("pjm5").over([0.9, 1.0]), folder), read_pypsa),
    "RTS-GMLC": Form(_rts, lambda folder: read_rts_gmlc(folder, hours=3)),
}


def sound(found):
    """Whether what was read can be computed with: finite, of the right shape, energy not negative."""
    if isinstance(found, Profiles):
        shape = (len(HOURS.clock), len(found.names))
        arrays = (found.load, found.pv, np.broadcast_to(found.pv_kwp, shape))
        return len(set(found.names)) == len(found.names) > 0 and all(
            a.shape == shape and np.isfinite(a).all() and (a >= 0).all() for a in arrays
        )
    if isinstance(found, System):
        found.validate()
        return bool(np.isfinite(found.load).all())
    if isinstance(found, dict):
        return all(np.isfinite(v) for k, v in found.items() if k not in ("windows", "currency"))
    return bool(np.isfinite(found).all())


def files_of(folder: Path):
    """All files of a folder in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
