"""Tables of agents that share weights."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from hmarl.nets.networks import of_like_size


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_tables_of_like_size_hold_every_agent_once_and_are_more_than_half_full(labels):
    clusters = torch.tensor(labels)
    tables = of_like_size(clusters)
    assert sorted(a for table in tables for a in table.agents.tolist()) == list(range(len(labels)))
    assert sum(len(table.members) for table in tables) == len(set(labels))
    for table in tables:
        assert (table.real.sum(1) * 2 > table.members.shape[1]).all()
        for row, real in zip(clusters[table.members], table.real, strict=True):
            assert len(set(row[real].tolist())) == 1
            assert int(real.sum()) == labels.count(int(row[0]))
    widths = [table.members.shape[1] for table in tables]
    assert widths == sorted(widths, reverse=True)
