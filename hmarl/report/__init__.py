"""One self-contained page about finished runs, and its figures as files."""
