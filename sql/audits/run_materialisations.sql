-- title: What did this Dagster run make?
-- description: Every materialisation of the run in the order it happened, made or found already made.
-- parameter run (text): Dagster run id, or its beginning
-- example: FROM run_materialisations('7c2f9b1e')
CREATE OR REPLACE MACRO run_materialisations(run) AS TABLE
SELECT e.run_id, e.created_at AS made_at, e.step, a.name AS artifact, a.version, a.code_version, e.reused,
       (SELECT sum(f.size)::BIGINT FROM files AS f WHERE f.artifact_key = a.artifact_key) AS size,
       trained.mlflow_run_ids
FROM events AS e
JOIN artifacts AS a ON a.artifact_key = e.artifact_key
LEFT JOIN trained ON trained.artifact_key = a.artifact_key
WHERE starts_with(e.run_id, run)
ORDER BY e.created_at, a.name;
