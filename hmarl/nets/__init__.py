"""Stacked networks: one code path for own, per-cluster and shared weights."""
