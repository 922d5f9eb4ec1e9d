"""The stations of the method, a file each: what an asset reads, how it is made, checked and described, without Dagster."""
