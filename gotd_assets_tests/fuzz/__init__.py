"""Altered files for every reader: `make fuzz`."""
