"""A real Ray cluster of two nodes on this machine: the same bytes as here, also when a node is killed half-way."""

import importlib
import os
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from hmarl import storage
from hmarl.run import run_study
from hmarl.study import Study

ray = pytest.importorskip("ray", reason="Ray is not installed (extra ray): the cluster is not tested here")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
ARMS = """
measure: [community_cost, peak_kw]
arms: {one: {}, two: {game: {reward: own}}, three: {game: {reward: community}}}
"""


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield importlib.import_module("toy_simulate")
    sys.modules.pop("toy_simulate", None)


@pytest.fixture
def nodes(toy, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # nodes import what they compute by name, as on other machines
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (here, here.parents[1]))))
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
        second = made.add_node(num_cpus=1, object_store_memory=100_000_000)
        made.wait_for_nodes()
        yield made, second
        ray.shutdown()
        made.shutdown()


def contents(folder):
    kept = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(name): data for name, data in kept.items() if name.name != storage.MANIFEST}


@pytest.mark.slow
def test_a_killed_node_changes_nothing(head, toy, nodes, tmp_path):
    made, second = nodes
    study = Study.parse(head + "run: {executor: ray, address: '" + made.address + "'}\n" + ARMS).change(seeds=4)
    finished = tmp_path / "far" / "toy"
    killed = threading.Event()

    def kill():
        deadline = time.monotonic() + 30
        while len(list(finished.rglob(storage.MANIFEST))) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        made.remove_node(second, allow_graceful=False)
        killed.set()

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = run_study(study, out=tmp_path / "far", simulate=toy.slowly)
    killer.join()
    assert killed.is_set()
    assert [failure.trace for failure in outcome.failures] == []
    assert len(outcome.done) == 12
    here = study.change(run={"executor": "process", "address": None})
    run_study(here, out=tmp_path / "near", simulate=toy.simulate)
    assert contents(tmp_path / "far") == contents(tmp_path / "near")


def test_an_address_without_a_cluster_is_a_sentence(head, tmp_path, toy):
    from hmarl.cluster import ClusterError

    study = Study.parse(head + "run: {executor: ray, address: '127.0.0.1:1'}\n" + ARMS)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1 does not answer"):
        run_study(study, out=tmp_path, simulate=toy.simulate)
