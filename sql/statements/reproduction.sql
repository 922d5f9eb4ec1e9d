-- Every artifact behind one version, each after all that it was made of, with all that its making needs.
WITH RECURSIVE walk AS (
    SELECT a.artifact_key, 0 AS distance FROM artifacts AS a
    WHERE starts_with(a.version, $version) AND ($asset IS NULL OR a.asset = $asset)
    UNION
    SELECT input.artifact_key, walk.distance + 1
    FROM walk
    JOIN edges ON edges.artifact_key = walk.artifact_key
    JOIN artifacts AS input ON input.name = edges.input_name AND input.version = edges.input_version
),
-- By the longest way: an input always stands farther away than what was made of it.
reached AS (
    SELECT walk.artifact_key, max(walk.distance) AS distance FROM walk GROUP BY ALL
)
SELECT
    reached.distance, a.asset, a.partition, a.name, a.version, a.code_version, a.parameters, a.path,
    (SELECT to_json(list({'name': e.input_name, 'version': e.input_version} ORDER BY e.input_name))
     FROM edges AS e WHERE e.artifact_key = a.artifact_key) AS inputs,
    (SELECT to_json(list({'name': f.file, 'size': f.size, 'sha256': f.sha256} ORDER BY f.file))
     FROM files AS f
     WHERE f.artifact_key = a.artifact_key AND f.event_key = (
         SELECT first.event_key FROM files AS first JOIN events AS e ON e.event_key = first.event_key
         WHERE first.artifact_key = a.artifact_key ORDER BY e.created_at LIMIT 1
     )) AS files,
    (SELECT to_json(list({'path': s.path, 'size': s.size, 'sha256': s.sha256} ORDER BY s.rowid))
     FROM source_files AS s WHERE s.artifact_key = a.artifact_key) AS source_files,
    (SELECT to_json(list({'name': p.package, 'version': p.package_version} ORDER BY p.package))
     FROM packages AS p
     WHERE p.environment_id = (
         SELECT e.environment_id FROM events AS e
         WHERE e.artifact_key = a.artifact_key AND e.environment_id IS NOT NULL
         ORDER BY e.reused, e.created_at LIMIT 1
     )) AS packages,
    -- Those under which the bytes came out that are recorded first.
    (SELECT to_json(list({'name': c.condition, 'version': c.value} ORDER BY c.condition))
     FROM conditions AS c
     WHERE c.conditions_id = (
         SELECT e.conditions_id FROM events AS e
         WHERE e.artifact_key = a.artifact_key AND NOT e.reused AND NOT e.files_differ AND e.conditions_id IS NOT NULL
         ORDER BY e.created_at LIMIT 1
     )) AS conditions,
    -- Those that it was made with.
    (SELECT s.content
     FROM settings AS s
     WHERE s.settings_id = (
         SELECT e.settings_id FROM events AS e
         WHERE e.artifact_key = a.artifact_key AND e.settings_id IS NOT NULL
         ORDER BY e.reused, e.created_at LIMIT 1
     )) AS settings
FROM reached
JOIN artifacts AS a ON a.artifact_key = reached.artifact_key
ORDER BY reached.distance DESC, a.name, a.version;
