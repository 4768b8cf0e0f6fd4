"""A simulation that spawned workers can import: it does nothing but obey."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass
class Toy:
    frames: dict
    checkpoint: bytes
    certificate: dict
    measures: dict
    data_files: list = field(default_factory=list)


def simulate(arm, seed, data: Path | None, report):
    report("learning", 0.0)
    rng = np.random.default_rng([seed, 1])
    weather = rng.normal(size=24)
    cost = float(weather.mean()) + {"one": 10.0, "two": 12.0, "three": 11.0}[arm.name]
    report("judging", 0.9)
    time_stamps = pd.date_range("2012-07-02", periods=24, freq="h", tz="Australia/Sydney")
    steps = pd.DataFrame({"time": time_stamps, "net_kwh": weather, "bus": pd.Categorical(["B"] * 24)})
    return Toy(
        {"steps": steps, "agents": pd.DataFrame({"bill_per_day": [cost]})},
        weather.tobytes(),
        {"converged": arm.name != "two", "leader_gap": np.float64(0.5), "bound": float("inf")},
        {"community_cost": cost, "peak_kw": float(weather.max())},
    )


def fails_on_one_seed(arm, seed, data, report):
    if seed == 1 and arm.name == "two":
        raise ValueError("Bus B has no price at hour 3; give it a generator.")
    return simulate(arm, seed, data, report)


def dies_on_one_seed(arm, seed, data, report):
    if seed == 1 and arm.name == "two":
        os._exit(9)
    return simulate(arm, seed, data, report)


def sleeps(arm, seed, data, report):
    report("sleeping", 0.1)
    time.sleep(60)


def slowly(arm, seed, data, report):
    time.sleep(0.4)
    return simulate(arm, seed, data, report)
