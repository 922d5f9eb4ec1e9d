-- title: What exactly made this model?
-- description: Everything that led to a model (or to any other artifact), back to the user's own files: for each
--   artifact on the way, nearest first, its code version, parameters (seeds among them), package versions, conditions
--   (threads, processor, platform), Dagster runs, files and source files with checksums. An input this database has never seen recorded stands as 'external'.
-- parameter model (version): MLflow run id, or version of the artifact, or the first 8 or more characters of either
-- example: FROM model_origin('5f0c3b7a')
CREATE OR REPLACE MACRO model_origin(model) AS TABLE
WITH RECURSIVE walk AS (
    SELECT a.artifact_key, 0 AS distance FROM artifacts AS a
    WHERE starts_with(a.version, model)
       OR a.artifact_key IN (SELECT t.artifact_key FROM trainings AS t WHERE starts_with(t.mlflow_run_id, model))
    UNION
    SELECT input.artifact_key, walk.distance + 1
    FROM walk
    JOIN edges ON edges.artifact_key = walk.artifact_key
    JOIN artifacts AS input ON input.name = edges.input_name AND input.version = edges.input_version
),
reached AS (
    SELECT a.*, walk.distance
    FROM (SELECT walk.artifact_key, min(walk.distance) AS distance FROM walk GROUP BY ALL) AS walk
    JOIN artifacts AS a ON a.artifact_key = walk.artifact_key
),
-- The packages are those of the event that made the artifact, not of later ones that found it made.
maker AS (
    SELECT e.artifact_key, arg_min(e.environment_id, (e.reused, e.created_at)) AS environment_id
    FROM events AS e
    JOIN reached ON reached.artifact_key = e.artifact_key
    WHERE e.environment_id IS NOT NULL
    GROUP BY ALL
),
-- What was made again under other conditions has both.
made_under AS (
    SELECT DISTINCT e.artifact_key, e.conditions_id
    FROM events AS e
    JOIN reached ON reached.artifact_key = e.artifact_key
    WHERE NOT e.reused AND e.conditions_id IS NOT NULL
),
facts AS (
    SELECT r.artifact_key, 1 AS part, 'code version' AS kind, r.asset AS item, r.code_version AS detail FROM reached AS r
    UNION ALL
    SELECT e.artifact_key, 2, CASE WHEN e.reused THEN 'reused' ELSE 'made' END,
           coalesce('run ' || e.run_id, 'outside Dagster'), strftime(e.created_at, '%Y-%m-%dT%H:%M:%S.%fZ')
    FROM events AS e JOIN reached ON reached.artifact_key = e.artifact_key
    UNION ALL
    SELECT t.artifact_key, 3, 'training', fact.item, fact.detail
    FROM trainings AS t JOIN reached ON reached.artifact_key = t.artifact_key,
         unnest([
            {'item': 'MLflow run', 'detail': t.mlflow_run_id},
            {'item': 'MLflow tracking URI', 'detail': t.tracking_uri},
            {'item': 'selection', 'detail': t.selection_version},
            {'item': 'base model', 'detail': t.base_model},
            {'item': 'seed', 'detail': t.seed::VARCHAR}
         ]) AS facts(fact)
    WHERE fact.detail IS NOT NULL
    UNION ALL
    SELECT r.artifact_key, 4, 'parameter', setting.entry.key, setting.entry.value ->> '$'
    FROM reached AS r, unnest(map_entries(r.parameters::MAP(VARCHAR, JSON))) AS setting(entry)
    UNION ALL
    SELECT edges.artifact_key, 5, CASE WHEN known.artifact_key IS NULL THEN 'external input' ELSE 'input' END,
           edges.input_name, edges.input_version
    FROM edges
    JOIN reached ON reached.artifact_key = edges.artifact_key
    LEFT JOIN artifacts AS known ON known.name = edges.input_name AND known.version = edges.input_version
    UNION ALL
    SELECT s.artifact_key, 6, 'source file', s.path, 'sha256 ' || s.sha256 || ', ' || s.size || ' bytes'
    FROM source_files AS s JOIN reached ON reached.artifact_key = s.artifact_key
    UNION ALL
    SELECT f.artifact_key, 7, 'file', f.file, 'sha256 ' || f.sha256 || ', ' || f.size || ' bytes'
    FROM files AS f JOIN reached ON reached.artifact_key = f.artifact_key
    UNION ALL
    SELECT maker.artifact_key, 8, 'package', p.package, p.package_version
    FROM packages AS p JOIN maker ON maker.environment_id = p.environment_id
    UNION ALL
    SELECT made_under.artifact_key, 9, 'condition', c.condition, c.value
    FROM conditions AS c JOIN made_under ON made_under.conditions_id = c.conditions_id
)
SELECT reached.distance, reached.name AS artifact, reached.version, facts.kind, facts.item, facts.detail
FROM facts
JOIN reached ON reached.artifact_key = facts.artifact_key
ORDER BY reached.distance, reached.name, reached.version, facts.part, facts.item, facts.detail;
