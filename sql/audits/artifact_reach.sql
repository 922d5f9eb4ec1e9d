-- title: What depends on this artifact?
-- description: Everything made from a version of an artifact, directly or through others, nearest first.
-- parameter version (version): version of the artifact, or its first 8 or more characters
-- example: FROM artifact_reach('9c41d02a')
CREATE OR REPLACE MACRO artifact_reach(version) AS TABLE
WITH RECURSIVE given AS (
    SELECT version AS beginning
),
walk AS (
    SELECT a.artifact_key, 0 AS distance FROM artifacts AS a, given WHERE starts_with(a.version, given.beginning)
    UNION
    SELECT edges.artifact_key, walk.distance + 1
    FROM walk
    JOIN artifacts AS input ON input.artifact_key = walk.artifact_key
    JOIN edges ON edges.input_name = input.name AND edges.input_version = input.version
),
reached AS (
    SELECT walk.artifact_key, min(walk.distance) AS distance FROM walk GROUP BY ALL
)
SELECT reached.distance, a.name AS artifact, a.version, made.made_at, made.run_ids,
       trained.mlflow_run_ids
FROM reached
JOIN artifacts AS a ON a.artifact_key = reached.artifact_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
LEFT JOIN trained ON trained.artifact_key = a.artifact_key
ORDER BY reached.distance, made.made_at, a.name, a.version;
