"""Blocks and menus of a study file: hours, prices, sentences, and the rules that a leader is given."""

import numpy as np
import pytest

from hmarl import Study
from hmarl.study_file.problems import StudyError
from hmarl.study_file.tariff_choice import block_of_hour, menu_by_hour
from hmarl.world import build

BLOCKS = {"peak": ["15-20"], "day": ["7-15", "20-22"], "night": ["22-7"]}


def test_spans_of_hours_become_names():
    found = block_of_hour(BLOCKS)
    assert [h for h, name in enumerate(found) if name == "peak"] == [15, 16, 17, 18, 19]
    assert [h for h, name in enumerate(found) if name == "night"] == [0, 1, 2, 3, 4, 5, 6, 22, 23]
    assert block_of_hour({"all": ["0-24"]}) == ("all",) * 24


def test_a_menu_by_block_by_hour_and_flat():
    prices = menu_by_hour({"flat": 0.2, "hours": [0.1] * 24, "steep": {"peak": 0.4, "day": 0.2, "night": 0.1}}, BLOCKS)
    assert prices[0] == (0.2,) * 24
    assert prices[1] == (0.1,) * 24
    assert (prices[2][16], prices[2][8], prices[2][23]) == (0.4, 0.2, 0.1)


@pytest.mark.parametrize(
    ("blocks", "menu", "words"),
    [
        ({"a": ["0-12"]}, None, "no block has hour 12"),
        ({"a": ["0-24"], "b": ["3-4"]}, None, "hour 3 is in block 'a' and again in 'b'"),
        ({"a": ["noon"]}, None, "span 'noon'"),
        (None, {}, "menu is empty"),
        (None, {"x": [0.1, 0.2]}, "menu.x has 2 prices"),
        (None, {"x": {"day": 0.1}}, "menu.x has prices by block, but there are no blocks"),
        (BLOCKS, {"x": {"day": 0.1}}, "give one for each of day, night, peak"),
    ],
)
def test_each_mistake_has_a_sentence(blocks, menu, words):
    with pytest.raises(ValueError, match=words):
        menu_by_hour(menu, blocks) if menu is not None else block_of_hour(blocks)


STUDY = """
study: menu
seeds: 1
calendar: {{start: 2012-07-02, days: 4, step: 30min, zone: Australia/Sydney, hold_out: 1}}
community: {{source: synthetic, prosumers: 3, pv: 0.7, battery: 0.6}}
auction: none
followers: rule-based
leader: {{name: stackelberg}}
tariff: {{{tariff}}}
wholesale: {{name: dc-opf, case: pjm5, bus: B, replication: 100}}
equilibrium: {{rounds: 1}}
arms: {{a: {{}}}}
"""
TWO = "blocks: {day: [7-22], night: [22-7]}, menu: {flat: 0.2, steep: {day: 0.25, night: 0.15}}"


def written(folder, tariff):
    path = folder / "study.yaml"
    path.write_text(STUDY.format(tariff=tariff))
    return path


def test_a_study_gives_its_leader_blocks_and_menu_in_steps(tmp_path):
    rules = build(Study.read(written(tmp_path, TWO)).arm("a"), 0, None).rules
    assert len(np.unique(rules.blocks)) == 2
    assert (rules.blocks[14:44] == rules.blocks[14]).all()  # 7 to 22 h in half hours
    assert rules.blocks[44] == rules.blocks[13] != rules.blocks[14]
    assert rules.menu.shape == (2, 48)
    assert rules.price_set().clip(np.full(48, 0.21)) == pytest.approx(np.full(48, 0.2))
    assert rules.menu[1, [13, 14, 43, 44]] == pytest.approx([0.15, 0.25, 0.25, 0.15])


@pytest.mark.parametrize(
    ("tariff", "words"),
    [
        ("menu: {}", "menu is empty"),
        ("menu: {flat: 0.3}, average_cap: 0.23", "no tariff of the menu lies between"),
        ("menu: {flat: 0.02}", "no tariff of the menu lies between"),
        ("blocks: {day: [7-22]}", "no block has hour 0"),
        ("average_cap: 0.03", "average_cap 0.03 is below the lowest price"),
    ],
)
def test_a_study_with_a_bad_choice_is_refused(tmp_path, tariff, words):
    with pytest.raises(StudyError, match=words):
        Study.read(written(tmp_path, tariff))
