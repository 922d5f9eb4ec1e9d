SELECT DISTINCT known.version
FROM (SELECT version FROM artifacts UNION ALL SELECT mlflow_run_id FROM trainings) AS known
WHERE starts_with(known.version, $prefix)
ORDER BY known.version
LIMIT 5;
