"""The stations of the method, a file each, in the order of the data."""
