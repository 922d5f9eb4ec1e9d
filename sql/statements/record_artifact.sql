INSERT INTO artifacts
SELECT (SELECT coalesce(max(artifact_key), 0) + 1 FROM artifacts),
       $asset, $partition, $name, $version, $code_version, $parameters, $summary, $path
WHERE NOT EXISTS (FROM artifacts WHERE name = $name AND version = $version);

-- The artifact may have moved with its home.
UPDATE artifacts SET path = $path
WHERE name = $name AND version = $version AND $path IS NOT NULL AND path IS DISTINCT FROM $path;

INSERT INTO edges
SELECT a.artifact_key, i.input_name, i.input_version
FROM incoming_inputs AS i, artifacts AS a
WHERE a.name = $name AND a.version = $version
ON CONFLICT DO NOTHING;

SELECT artifact_key FROM artifacts WHERE name = $name AND version = $version;
