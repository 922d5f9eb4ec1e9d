"""The demonstration: real text and real models out of packages on the Python package registry."""
