-- title: Which selections were made, and what became of them?
-- description: Every version of every selection, newest first: how many documents, the score of the last one in, by
--   which Dagster runs, and the MLflow runs of the models trained on it.
-- parameter target (text, optional): only selections for this target
-- example: FROM selection_history(target := 'imdb')
CREATE OR REPLACE MACRO selection_history(target := NULL) AS TABLE
WITH used AS (
    SELECT ancestry.ancestor_key AS artifact_key, string_agg(DISTINCT t.mlflow_run_id, ', ' ORDER BY t.mlflow_run_id) AS runs
    FROM trainings AS t JOIN ancestry ON ancestry.artifact_key = t.artifact_key
    GROUP BY ALL
)
SELECT a.name AS selected_subset, a.version AS selection_version, made.made_at, made.last_used_at, s.budget,
       s.cut_score, a.code_version, a.parameters, made.run_ids, used.runs AS mlflow_run_ids
FROM selections AS s
JOIN artifacts AS a ON a.artifact_key = s.artifact_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
LEFT JOIN used ON used.artifact_key = a.artifact_key
WHERE target IS NULL OR a.partition = target OR starts_with(a.partition, target || '/')
ORDER BY made.made_at DESC, a.name;
