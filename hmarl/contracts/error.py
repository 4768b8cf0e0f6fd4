"""What every conformance suite raises."""


class ContractError(AssertionError):
    """What a plug-in does against its contract; the message says which rule, in which case, and what came out."""
