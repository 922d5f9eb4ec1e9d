"""What is run, in which order, and what is told of it."""
