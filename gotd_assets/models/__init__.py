"""What all that computes with models has in common."""
