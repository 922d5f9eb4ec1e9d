SELECT e.event_key, e.created_at, e.run_id, e.step, e.reused, a.asset, a.name, a.version, a.code_version, a.path,
    (SELECT to_json(list({'name': i.input_name, 'version': i.input_version} ORDER BY i.input_name))
     FROM edges AS i WHERE i.artifact_key = a.artifact_key) AS inputs,
    (SELECT to_json(list({'path': s.path, 'sha256': s.sha256} ORDER BY s.path, s.sha256))
     FROM source_files AS s WHERE s.artifact_key = a.artifact_key) AS source_files,
    (SELECT sum(f.size)::BIGINT FROM files AS f WHERE f.event_key = e.event_key) AS size,
    (SELECT count(*) FROM files AS f WHERE f.event_key = e.event_key) AS file_count,
    (SELECT max(c.row_count) FROM contents AS c WHERE c.artifact_key = a.artifact_key AND c.content <> 'exclusions')
        AS row_count,
    (SELECT string_agg(t.mlflow_run_id, ', ' ORDER BY t.mlflow_run_id) FROM trainings AS t
     WHERE t.artifact_key = a.artifact_key) AS mlflow_run_ids,
    (SELECT to_json(list({'name': c.condition, 'value': c.value} ORDER BY c.condition))
     FROM conditions AS c WHERE c.conditions_id = e.conditions_id) AS conditions
FROM events AS e
JOIN artifacts AS a ON a.artifact_key = e.artifact_key
WHERE $run_id IS NULL OR e.run_id = $run_id
ORDER BY e.created_at, e.event_key;
