"""Optimal transport between a large source and a target sketch, by semi-dual ascent."""
