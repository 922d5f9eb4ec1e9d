"""Which files an entry of gotd.yaml means, here or behind URLs, and what is in them."""
