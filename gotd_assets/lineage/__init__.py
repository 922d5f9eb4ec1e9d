"""The DuckDB lineage store and its audits."""
