INSERT INTO trainings
VALUES ($artifact_key, $mlflow_run_id, $tracking_uri, $selection_version, $base_model, $seed)
ON CONFLICT DO NOTHING;
