"""What a selection is worth, before any training."""
