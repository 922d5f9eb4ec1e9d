"""What one station leaves for the next: versioned, immutable, written whole or not at all."""
