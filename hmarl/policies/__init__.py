"""Follower policies, one file each."""

from __future__ import annotations

POLICIES: dict[str, str] = {
    "rule-based": "hmarl.policies.rule_based:RuleBased",
    "zi": "hmarl.policies.zi:ZI",
    "zip": "hmarl.policies.zip:ZIP",
    "gd": "hmarl.policies.gd:GD",
    "q-learning": "hmarl.policies.q_learning:QLearning",
    "dqn": "hmarl.policies.dqn:DQN",
    "mf-q": "hmarl.policies.mf_q:MFQ",
    "mf-ac": "hmarl.policies.mf_ac:MFAC",
    "ippo": "hmarl.policies.ppo:IPPO",
    "mappo": "hmarl.policies.ppo:MAPPO",
    "iddpg": "hmarl.policies.iddpg:IDDPG",
    "maddpg": "hmarl.policies.maddpg:MADDPG",
    "matd3": "hmarl.policies.matd3:MATD3",
    "da-maddpg": "hmarl.policies.da_maddpg:DAMADDPG",
    "ps-maddpg": "hmarl.policies.ps_maddpg:PSMADDPG",
    "mean-field": "hmarl.policies.mean_field:MeanField",
    "coordinated": "hmarl.policies.coordinated:Coordinated",
    "apg": "hmarl.policies.apg:APG",
    "a3c3": "hmarl.policies.a3c3:A3C3",
    "mpc": "hmarl.policies.mpc:MPC",
    "mb-a3c3": "hmarl.policies.mb_a3c3:MBA3C3",
    "optimal": "hmarl.policies.optimal:Optimal",
}
"""Name -> ``module:Class`` of every follower policy."""

__all__ = ["POLICIES"]
