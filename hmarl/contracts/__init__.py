"""Conformance suites: what a plug-in must do to be used in a study, checked on thousands of random cases.

A third party calls them in its own tests: ``check_auction(MyAuction())``, ``check_policy(MyPolicy())``,
``check_leader(MyLeader())``. Breaches are raised as a sentence.
"""

from hmarl.contracts.auction import check_auction
from hmarl.contracts.error import ContractError
from hmarl.contracts.leader import check_leader
from hmarl.contracts.policy import check_policy

__all__ = ["ContractError", "check_auction", "check_leader", "check_policy"]
