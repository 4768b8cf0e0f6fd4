"""The report: every figure there, nothing from outside, nothing unescaped, the same bytes, figures that add up."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from hmarl.report import figures_money, figures_place, figures_time, words
from hmarl.report.figures import Lacking
from hmarl.report.figures_money import _bill_parts, accounts, transfers
from hmarl.report.figures_place import positions
from hmarl.report.page import LARGEST, _sensitivity, report, report_folder
from hmarl.results import ResultsError, load

FIGURES = {
    "differences",
    "gains",
    "bill",
    "payments",
    "welfare",
    "prices",
    "energy",
    "network",
    "yardsticks",
    "clusters",
}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = '<script>alert("1")</script> & <b>'


class Page(HTMLParser):
    """Collects what a browser would fetch or run, ids, and whether tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.fetched, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        links = [found[name] for name in ("src", "href", "xlink:href", "data", "action") if name in found]
        self.fetched += [link for link in links if not link.startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(html):
    page = Page()
    page.feed(html)
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def made(runs):
    return report(load(runs))


@pytest.fixture
def copy(runs, tmp_path):
    return shutil.copytree(runs, tmp_path / "small")


def test_every_figure_is_there_and_nothing_comes_from_outside(made):
    page = read(made.html)
    assert {picture.name for picture in made.pictures} == FIGURES
    assert {f"figure-{name}" for name in FIGURES} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.fetched == []
    assert not page.tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"url\((?!#)|@import", made.html)
    assert len(made.html.encode()) < LARGEST / 2
    assert re.findall(r"Left out: ([^.]*)\.", made.html) == [
        "How the followers learned: no follower of this study learns, or nothing was logged",
        "How long the followers learned: no follower of this study learns, or training was not timed",
        "How many groups of homes: no follower of this study groups homes by what they trade",
        "What groups of homes trade: no follower of this study forecasts its trades",
        "Forecast and actual trades of a home: no follower of this study forecasts its trades",
        "What matters most: this report has no sweep; `hmarl sweep` fills it",
    ]
    for picture in made.pictures:
        root = ElementTree.fromstring(picture.svg)
        assert root.get("aria-label") == picture.title
        assert picture.caption


def test_words_and_numbers_are_those_of_the_summary(runs, made):
    results = load(runs)
    costs = results.summary.pivot_table(index="seed", columns="arm", values="community_cost_per_day")
    change = (costs["mark-up"] - costs["regulated"]).mean()
    assert change < 0
    text = re.sub(r"<[^>]*>", "", made.html)
    assert (
        f"community cost: lower by {abs(change):.3g}" in text
        or f"community cost ({change:.3g}" in text
        or ("Not resolved:" in text and "community cost" in text)
    )
    assert "2 arms · 2 seeds · judged on 7 held-out days · 5 homes · dc-opf on pjm5, x 2000 communities" in text
    for run in results.runs:
        assert str(run.manifest["versions"]["torch"]) in text
    assert "replication: 2000" in text


def test_the_same_bytes_also_in_the_files_and_on_the_command_line(runs, made, command):
    code, out, err = command("report", runs)
    assert code == 0, err
    assert f"Report: {runs / 'report.html'}" in out
    assert (runs / "report.html").read_text() == made.html
    assert {path.stem for path in (runs / "figures").iterdir()} == FIGURES
    ElementTree.parse(runs / "figures" / "prices.svg")
    assert (runs / "figures" / "prices.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = command("report", runs.parent / "nothing")
    assert (code, "is not there" in err) == (2, True)


def test_whatever_a_user_wrote_is_text(copy):
    study = copy / "study.yaml"
    study.write_text(study.read_text().replace("title: Two arms for tests", f"title: {json.dumps(EVIL)}"))
    for run in load(copy).runs:
        for name, column in (("buses", "bus"), ("lines", "from_bus"), ("lines", "to_bus")):
            table = pd.read_parquet(run.folder / f"{name}.parquet")
            table[column] = table[column].replace({"C": EVIL})
            table.to_parquet(run.folder / f"{name}.parquet")
        certificate = json.loads((run.folder / "certificate.json").read_text())
        (run.folder / "certificate.json").write_text(json.dumps({**certificate, EVIL: EVIL}))
    html = report(load(copy)).html
    assert "alert" in html
    assert "<script" not in html
    assert "<b>" not in html
    assert "script" not in read(html).tags


def test_what_a_run_does_not_have_is_left_out_with_a_line(copy):
    for run in load(copy).runs:
        for name in ("profiles", "trades", "agents"):
            (run.folder / f"{name}.parquet").unlink()
        for name, column in (("steps", "prosumers_paid"), ("lines", "limit_mw")):
            path = run.folder / f"{name}.parquet"
            pd.read_parquet(path).drop(columns=column).to_parquet(path)
    made = report(load(copy))
    lost = {"gains", "bill", "payments", "welfare", "energy", "clusters", "network"}
    assert {picture.name for picture in made.pictures} == FIGURES - lost
    assert len(re.findall("Left out:", made.html)) == 6 + len(lost)
    assert "The network and its prices: table lines of these runs has no limit_mw." in made.html


@pytest.mark.parametrize(
    ("table", "columns", "draws"),
    [
        ("agents", ["prosumer"], [figures_money.gains, figures_money.bill]),
        ("steps", None, [figures_time.prices, figures_money.payments, figures_money.welfare]),
        ("steps", ["buy_per_kwh"], [figures_time.prices]),
        ("buses", None, [figures_place.network]),
    ],
)
def test_a_figure_says_what_it_lacks(copy, table, columns, draws):
    for run in load(copy).runs:
        path = run.folder / f"{table}.parquet"
        if columns is None:
            path.unlink()
        else:
            pd.read_parquet(path).drop(columns=columns).to_parquet(path)
    results = load(copy)
    assert words.subtitle(results).startswith("Study small")
    for draw in draws:
        with pytest.raises(Lacking, match=f"{table}|ledger|network"):
            draw(results)


def test_one_arm_still_makes_a_report(copy):
    shutil.rmtree(copy / "mark-up")
    made = report(load(copy))
    assert "No finished run of: mark-up." in made.html
    assert {p.name for p in made.pictures} == FIGURES - {"differences", "gains", "welfare"}


def test_what_must_be_known_first_is_said(copy, runs):
    assert words.warnings(load(runs)) == []
    assert "every difference may be chance" in words.warnings(load(f"{runs}/*/1"))[-1]
    path = copy / "mark-up" / "0" / "certificate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"converged": False, "reason": "prices go round"}))
    (copy / "regulated" / "1" / "manifest.json").unlink()
    said = words.warnings(load(copy))
    assert said[:2] == [
        "NOT CONVERGED: mark-up, 1 of 2 seeds: prices go round",
        "1 run of this study not finished; the figures lack them.",
    ]


def test_transfers_give_the_ledger_back(runs):
    for _, row in accounts(load(runs)).iterrows():
        assert row.sum() == pytest.approx(0, abs=1e-6)
        flows = transfers(row)
        assert min(flows.values()) > 0
        for account, paid in row.items():
            net = sum(v for (a, _), v in flows.items() if a == account) - sum(
                v for (_, b), v in flows.items() if b == account
            )
            assert net == pytest.approx(paid, abs=1e-6)
    odd = pd.Series({"prosumers": 5.0, "aggregator": -9.0, "network": -1.0, "uplift": 3.0, "generators": 2.0})
    flows = transfers(odd)
    assert flows[("prosumers", "aggregator")] == 4.0
    assert flows[("wholesale market", "aggregator")] == 5.0
    assert flows[("uplift", "wholesale market")] == 3.0


def test_parts_of_a_bill_add_up_to_it(copy):
    homes = load(copy).agents
    bills = homes[homes["held_out"]].groupby("arm")["bill"].mean()
    parts, said = _bill_parts(load(copy))
    assert parts.sum(axis=1).to_dict() == pytest.approx(bills.to_dict())
    assert "are no columns of these runs" in said
    for run in load(copy).runs:
        table = pd.read_parquet(run.folder / "agents.parquet")
        table.assign(levies=0.1, p2p_saving=-0.2, energy=table["bill"] + 0.05).to_parquet(run.folder / "agents.parquet")
    parts, _ = _bill_parts(load(copy))
    assert list(parts.columns) == ["energy", "levies", "P2P saving", "rest"]
    assert parts.sum(axis=1).to_dict() == pytest.approx(bills.to_dict())
    assert parts["rest"].to_numpy() == pytest.approx(0.05)


def test_a_chain_of_buses_is_drawn_as_a_line():
    at = np.array(positions(list("abcd"), [("a", "b"), ("b", "c"), ("c", "d")]))
    steps = np.linalg.norm(np.diff(at, axis=0), axis=1)
    assert steps == pytest.approx(steps.mean(), rel=1e-3)
    assert np.linalg.norm(at[3] - at[0]) == pytest.approx(3 * steps.mean(), rel=5e-3)


def test_a_sweep_is_shown(tmp_path):
    row = {"arm": "regulated", "measure": "peak_kw", "unit": "kW", "path": "community.pv", "index": "mu_star"}
    pd.DataFrame([row | {"value": 3.0, "low": 2.0, "high": 4.0}]).to_csv(tmp_path / "indices.csv", index=False)
    section = _sensitivity(tmp_path)
    assert [picture.name for picture in section.pictures] == ["sensitivity"]
    assert "community.pv" in section.pictures[0].svg
    assert [cell.text for cell in section.tables[0].rows[0].cells][-2:] == ["3", "2 to 4"]


def test_several_studies_are_refused(copy):
    again = shutil.copytree(copy, copy.with_name("other"))
    for path in again.rglob("manifest.json"):
        path.write_text(path.read_text().replace('"study": "small"', '"study": "other"'))
    with pytest.raises(ResultsError, match=r"several studies \(other, small\)"):
        report_folder(copy.parent)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on this machine: the page is not tested in a browser")
@pytest.mark.parametrize("width", [500, 1200])
def test_in_a_browser(made, tmp_path, width):
    page = tmp_path / "report.html"
    page.write_text(made.html)
    probe = tmp_path / "probe.html"
    script = (
        "<script>const tall=[...document.querySelectorAll('figure svg')].filter(s=>s.getBoundingClientRect().height>80"
        "&&s.getBoundingClientRect().right<=innerWidth);document.title=[document.documentElement.scrollWidth,"
        "innerWidth,tall.length].join(' ')</script>"
    )
    probe.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--window-size={width},900",
    ]
    home = {**os.environ, "HOME": str(tmp_path)}
    dump = subprocess.run(
        [*command, "--dump-dom", probe.as_uri()], check=True, capture_output=True, text=True, timeout=120, env=home
    )
    wide, inner, drawn = map(int, re.search(r"<title>(\d+) (\d+) (\d+)</title>", dump.stdout).groups())
    assert wide <= inner
    assert drawn == len(FIGURES)
    assert "CONSOLE" not in dump.stderr
    if width < 1000:
        return
    printed = tmp_path / "page.pdf"
    subprocess.run(
        [*command, f"--print-to-pdf={printed}", page.as_uri()], check=True, capture_output=True, timeout=120, env=home
    )
    assert printed.read_bytes().startswith(b"%PDF")
