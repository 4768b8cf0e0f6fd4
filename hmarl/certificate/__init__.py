"""How close a run came to an equilibrium: gaps of leader and followers, welfare, invariants."""
