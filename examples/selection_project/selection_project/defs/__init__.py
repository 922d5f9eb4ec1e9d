"""Definitions of the project."""
