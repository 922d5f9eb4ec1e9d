"""What each station's artifact must be before anything reads it."""
