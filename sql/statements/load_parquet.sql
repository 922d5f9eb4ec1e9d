CREATE TEMP TABLE incoming AS
SELECT COLUMNS(lambda c: list_contains($columns, c)) FROM read_parquet($paths, hive_partitioning = false);
