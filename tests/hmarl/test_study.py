"""Study files: defaults, merge rule, changes, and every mistake at once."""

import pytest

from hmarl.study import Study, StudyError
from hmarl.study_file.problems import PluginError, nearest


def mistakes(text):
    with pytest.raises(StudyError) as caught:
        Study.parse(text)
    return {problem.path: problem for problem in caught.value.problems}


def test_reads_with_defaults(text):
    study = Study.parse(text)
    assert study.seeds == (0, 1)
    assert [arm.name for arm in study.arms] == ["regulated", "mark-up"]
    arm = study.arm("mark-up")
    assert (arm.baseline, study.baseline.baseline) == (False, True)
    assert arm.followers.parameters == {"episodes": 2000, "layers": [64, 64]}
    assert arm.followers.make().layers == (64, 64)
    assert arm.leader.make().margin == 0.25
    assert arm.auction.name == "da"
    assert (arm.tariff.peak, arm.tariff.network, arm.tariff.windows) == (0.44, 0.09, "AER2019")
    assert (arm.community.store.start, arm.community.battery) == (5.0, 0.5)
    assert (arm.replication, arm.wholesale.bus, arm.wholesale.load_shape) == (2000, "B", "daily")


def test_days():
    from hmarl.study_file.calendar import Calendar, Weeks

    last = Calendar(start="2012-07-02", days=30, hold_out=7)
    assert last.training_days == tuple(range(23))
    assert last.held_out_days == tuple(range(23, 30))
    weeks = Calendar(start="2012-07-02", days=30, hold_out=Weeks(every=4, offset=1))
    assert weeks.held_out_days == tuple(range(7, 14))
    everything = Calendar(start="2012-07-02", days=3)
    assert everything.held_out_days == ()
    assert everything.judged_days == (0, 1, 2)
    assert (last.steps, last.hours, str(last.first)) == (24, 1.0, "2012-06-25")


def test_all_mistakes_at_once_with_path_value_allowed_and_nearest(head):
    wrong = (
        head.replace("days: 28", "days: 0").replace("battery: 0.5", "battery: 1.5").replace("study: toy", "study: a/b")
    )
    found = mistakes(
        wrong
        + """
tarif: {peak: 0.4}
auction: {name: da, tick: 3}
game: {public: this_stepp}
measure: [peak_kw, comunity_cost]
arms:
  one: {leader: {name: margin, margn: 0.2}}
  two: {leader: {name: margin, margin: -1}, followers: lerner}
  three: {seeds: 3, game: {reward: 7}}
"""
    )
    assert set(found) == {
        "study",
        "calendar.days",
        "community.battery",
        "tarif",
        "auction.tick",
        "game.public",
        "measure.1",
        "arms.one.leader.margn",
        "arms.two.leader.margin",
        "arms.two.followers.name",
        "arms.three.seeds",
        "arms.three.game.reward",
    }
    assert "an integer >= 1" in str(found["calendar.days"])
    assert ">= 0 and <= 1" in str(found["community.battery"])
    assert found["tarif"].nearest == "tariff"
    assert found["game.public"].nearest == "this_step"
    assert found["measure.1"].nearest == "community_cost"
    expected = (
        "arms.one.leader.margn: 'margn' is no parameter of leader margin (parameters: margin); did you mean 'margin'?"
    )
    assert str(found["arms.one.leader.margn"]).partition(": ")[2] == expected
    assert found["arms.two.leader.margin"].value == -1
    assert found["arms.two.followers.name"].nearest == "learner"
    assert found["calendar.days"].line == 4


def test_an_inherited_mistake_is_said_once(head):
    text = head + "game: {reward: mine}\narms: {a: {game: {public: none}}, b: {}, c: {leader: fixed}}\n"
    assert list(mistakes(text)) == ["game.reward"]


def test_missing_things(toys):
    found = mistakes("seeds: 1\narms: {a: {}, b: {}}")
    assert set(found) == {"study", "calendar", "community", "followers"}
    assert "missing" in str(found["followers"])
    assert set(mistakes("study: x")) == {"arms", "calendar", "community", "followers"}


def test_types_are_strict(head):
    text = head.replace("seeds: 2", "seeds: '2'").replace("prosumers: 20", "prosumers: true")
    found = mistakes(text + "equilibrium: {damping: yes}\narms: {a: {}}")
    assert set(found) == {"seeds", "community.prosumers", "equilibrium.damping"}


@pytest.mark.parametrize(
    ("hold_out", "path"),
    [
        ("28", "calendar.hold_out"),
        ("-1", "calendar.hold_out"),
        ("{every: 4, offset: 4}", "calendar.hold_out"),
        ("{every: 1, offset: 0}", "calendar.hold_out.every"),
        ("{evry: 4, offset: 0}", "calendar.hold_out.evry"),
        ("soon", "calendar.hold_out"),
    ],
)
def test_hold_out(text, hold_out, path):
    found = mistakes(text.replace("hold_out: 7", f"hold_out: {hold_out}"))
    assert path in found
    assert len([p for p in found if p.startswith("calendar")]) <= 2


def test_zone_is_checked(text):
    assert "Australia/Sydney" in str(mistakes(text.replace("Australia/Sydney", "Australia/Sidney"))["calendar.zone"])


def test_arms_share_days_and_homes(head):
    found = mistakes(head + "arms: {a: {}, b: {calendar: {days: 20}}}")
    assert set(found) == {"arms.b.calendar"}


def test_a_changed_name_replaces_the_section_and_the_same_name_merges(head):
    base = head + "leader: {name: margin, margin: 0.3}\n"
    study = Study.parse(
        base + "arms: {a: {leader: {name: fixed}}, b: {leader: {name: margin}}, c: {leader: {margin: 0.5}}}"
    )
    assert study.arm("a").leader.parameters == {}
    assert study.arm("b").leader.parameters == {"margin": 0.3}
    assert study.arm("c").leader.parameters == {"margin": 0.5}


def test_an_arm_that_changes_nothing_is_refused(head):
    text = head + "arms:\n  up: {}\n  down: {wholesale: none}\n  again: {calendar: {days: 28}}\n"
    problem = mistakes(text)["arms.again"]
    assert "it is arm up again" in str(problem)
    assert problem.line == text.splitlines().index("  again: {calendar: {days: 28}}") + 1
    # at some point of a sweep two arms may well be equal
    assert Study.parse(head + "arms: {a: {}, b: {wholesale: none}}").change(wholesale="none").arm("a").wholesale is None


def test_wear_in_blocks(head):
    study = """
auction: da
arms: {one: {community: {store: {wear_quadratic: 0, wear_blocks: [[0.4, 0.01], [1, 0.05]]}}}, two: null}
"""
    one, two = Study.parse(head + study).arms
    assert one.community.store.wear_blocks == ((0.4, 0.01), (1.0, 0.05))
    assert two.community.store.wear_blocks == ()
    assert Study.parse(Study.parse(head + study).to_yaml()).arms[0].community.store == one.community.store


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("{wear_blocks: [[0.4, 0.01], [1, 0.05]]}", "on top of the usual wear_quadratic of 0.03 $/kWh²; write"),
        ("{wear_quadratic: 0, wear_blocks: [[0.4, 0.05], [1, 0.01]]}", "costs 0.05 $/kWh, the next 0.01; prices must"),
        (
            "{wear_quadratic: 0, wear_blocks: [[0.4, 0.01], [1.2, 0.05]]}",
            "block 2 is 1.2 of rated power; it must be in",
        ),
        ("{wear_quadratic: 0, wear_blocks: [[1, 0.05]]}", "1 block(s); give 2 or 3 pairs"),
        ("{wear_quadratic: 0, wear_blocks: [[0.4, 0.01], [0.9, 0.05]]}", "the last share is 0.9; it must be 1"),
    ],
)
def test_blocks_of_wear_that_make_no_sense_are_refused(head, store, words):
    found = mistakes(head + f"auction: da\narms: {{one: {{community: {{store: {store}}}}}}}\n")
    assert list(found) == ["arms.one.community.store.wear_blocks"]
    assert words in str(found["arms.one.community.store.wear_blocks"])


def test_wholesale_none(head):
    study = Study.parse(head + "arms: {up: {}, down: {wholesale: none}, nil: {wholesale: , auction: none}}")
    assert study.arm("up").wholesale is not None
    assert study.arm("down").wholesale is None
    assert study.arm("nil").replication == 1
    assert set(mistakes(head + "arms: {a: {wholesale: {name: none, bus: B}}}")) == {"arms.a.wholesale.bus"}


def test_tariff_ids_take_their_prices_from_the_table(head):
    study = Study.parse(head + "arms: {a: {tariff: B_thesis_experiments}, b: {tariff: {name: flat, shoulder: 0.3}}}")
    assert study.arm("a").tariff.peak is None
    assert (study.arm("b").tariff.shoulder, study.arm("b").tariff.peak) == (0.3, 0.44)
    assert "time-of-use" in str(mistakes(head + "arms: {a: {tariff: time-of-usee}}")["arms.a.tariff.name"])


def test_change_and_set(text):
    study = Study.parse(text)
    assert study.change(followers="rule").arm("mark-up").followers.name == "rule"
    assert study.change(seeds=[7]).seeds == (7,)
    assert study.change(**{"followers.episodes": 5}).arm("mark-up").followers.parameters["episodes"] == 5
    assert study.arm("mark-up").followers.parameters["episodes"] == 2000
    changed = study.set("arms.mark-up.leader.margin=0.5", "calendar.days=21", "community.store.max_kwh=2")
    assert changed.arm("mark-up").leader.parameters["margin"] == 0.5
    assert changed.baseline.calendar.days == 21
    assert changed.baseline.community.store.max_kwh == 2
    assert changed.baseline.community.source.parameters["prosumers"] == 20


@pytest.mark.parametrize(
    "wrong", ["margin", "arms.markup.leader.margin=0.5", "leader.margin=0.3", "tarif=flat", "seeds=[0,0]"]
)
def test_set_mistakes(text, wrong):
    with pytest.raises(StudyError):
        Study.parse(text).set(wrong)


def test_unknown_arm_names_the_nearest(text):
    with pytest.raises(StudyError, match="did you mean 'mark-up'"):
        Study.parse(text).arm("markup")


def test_the_resolved_file_is_complete_and_gives_the_same_study(text):
    study = Study.parse(text)
    full = study.to_yaml()
    again = Study.parse(full)
    assert again.arms == study.arms
    assert (again.seeds, again.measure, again.name) == (study.seeds, study.measure, study.name)
    assert again.to_yaml() == full
    assert "wear_quadratic: 0.03" in full
    assert "layers:" in full


def test_resolved_leaves_out_what_does_not_change_results(text):
    study = Study.parse(text)
    other = study.change(seeds=5, title="x", measure=["peak_kw"])
    assert other.arm("mark-up").resolved() == study.arm("mark-up").resolved()


def test_unreadable_files(tmp_path):
    with pytest.raises(StudyError, match="cannot be read"):
        Study.read(tmp_path / "no.yaml")
    with pytest.raises(StudyError, match="mapping"):
        Study.parse("- 1")


def test_plugins(toys, monkeypatch):
    from hmarl.study_file import plugins

    assert plugins.make("leaders", "margin", margin=1).margin == 1.0
    with pytest.raises(PluginError, match="did you mean 'margin'"):
        plugins.make("leaders", "margin", marign=1)
    with pytest.raises(PluginError, match="did you mean 'leaders'"):
        plugins.names("leader")
    assert plugins.one_line("sources", "town") == "A town"
    assert plugins.source("sources", "town") == "nobody (2020)"
    monkeypatch.setattr(plugins, "_foreign", lambda kind: (("mine", "toy_plugins:Plain", "other"),))
    assert "mine" in plugins.names("leaders")
    assert plugins.make("leaders", "mine") is not None
    monkeypatch.setattr(plugins, "_foreign", lambda kind: (("fixed", "other:Fixed", "other"),))
    with pytest.raises(
        PluginError, match=r"by hmarl \(toy_plugins:Plain\) and by other \(other:Fixed\): the name is taken"
    ):
        plugins.load("leaders", "fixed")
    assert plugins.make("leaders", "margin") is not None


def test_nearest():
    assert nearest("mark_up", ["mark-up", "fixed"]) == "mark-up"
    assert nearest("zzz", ["mark-up"]) is None
    assert nearest(3, ["mark-up"]) is None
