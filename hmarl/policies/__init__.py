"""Follower policies, one file each."""

from __future__ import annotations

POLICIES: dict[str, str] = {
    "rule-based": "hmarl.policies.rule_based:RuleBased",
    "zi": "hmarl.policies.zi:ZI",
    "ippo": "hmarl.policies.ppo:IPPO",
    "mappo": "hmarl.policies.ppo:MAPPO",
    "coordinated": "hmarl.policies.coordinated:Coordinated",
    "apg": "hmarl.policies.apg:APG",
    "a3c3": "hmarl.policies.a3c3:A3C3",
    "mb-a3c3": "hmarl.policies.mb_a3c3:MBA3C3",
    "optimal": "hmarl.policies.optimal:Optimal",
}
"""Name -> ``module:Class`` of every follower policy."""

__all__ = ["POLICIES"]
