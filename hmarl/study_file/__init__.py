"""What a study file says and what its names mean: reading, merging, checking, one section each."""
