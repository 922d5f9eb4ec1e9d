"""Times as people say them."""


def in_words(seconds: float) -> str:
    """'40 s', '7 min', '2.3 hours': as exact as an estimate is."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} hours"
