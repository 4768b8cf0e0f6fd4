"""The lines of a certificate that one decides by: read from the file, and honest about what is no proof."""

from types import SimpleNamespace

from hmarl.report.certificate_table import everything, key_lines


def study(*certificates):
    """Results of one arm, as far as the tables look at them."""
    return SimpleNamespace(arms=("a",), runs=[SimpleNamespace(arm="a", certificate=one) for one in certificates])


def lines(*certificates):
    return {row.cells[0].text: row.cells[1].text for row in key_lines(study(*certificates)).rows}


def gap(ratio, certified):
    return {"leader_gap": {"global": {"gap_ratio": ratio, "certified": certified}}}


def test_a_conditional_estimate_is_never_called_certified():
    sure, unsure = lines(gap(0.02, True)), lines(gap(0.4, False))
    assert sure["below the best admissible tariff at most, certified [%]"] == "2.00"
    assert "below the best admissible tariff, conditional estimate [%]" not in sure
    assert unsure["below the best admissible tariff, conditional estimate [%]"] == "40.0"
    assert "below the best admissible tariff at most, certified [%]" not in unsure


def test_both_ends_of_exploitability_or_nothing():
    ends = {"found_lower": {"mean_per_day": 0.2}, "upper": {"mean_per_day": 3.0}}
    title = "a home could gain, found to proven [$/day, mean]"
    assert lines({"follower_exploitability": ends})[title] == "0.200 to 3.00"
    assert title not in lines({"follower_exploitability": {"upper": {"mean_per_day": 3.0}}})


def test_what_still_moves_is_said_and_rest_needs_no_reason():
    moving = {"converged": False, "reason": "NOT CONVERGED after 4 rounds: prices still moved by 0.00432 $/kWh"}
    found = lines({"converged": True, "reason": "prices moved by 0"}, moving)
    assert found["came to rest"] == "1 of 2"
    assert found["if not, why"] == "prices still moved"
    other = {"converged": False, "reason": "NOT CONVERGED after 1 round: a single round cannot show rest"}
    assert lines(other)["if not, why"] == other["reason"]
    assert "if not, why" not in lines({"converged": True, "reason": "prices moved by 0"})


def test_the_worst_invariant_is_shown_as_a_share_of_its_tolerance():
    checks = {"exact": {"residual": 0.0, "tolerance": 0.0}, "near": {"residual": 2e-9, "tolerance": 1e-8}}
    assert lines({"invariants": checks})["largest residual [% of what is tolerated]"] == "20.0"


def test_everything_is_there_but_folded():
    table = everything(study({"a": {"b": 1.0}, "c": True}))
    assert table.folded
    assert [row.cells[0].text for row in table.rows] == ["a: b", "c"]
