"""Environments outside the retail game: games with known answers, and anything that speaks PettingZoo."""
