"""The coordinator: the two levels answer each other, one immutable iterate a round."""
