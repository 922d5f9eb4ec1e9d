SELECT count(*) FILTER (table_name = 'schema_migrations'), count(*) FILTER (table_name <> 'schema_migrations')
FROM duckdb_tables();
