"""The study: every method on real text, from the packages to a page of results."""
