-- What should be on disk: of an artifact's files, those of the last time it was made. Then the user's own files.
-- `needed` are the latest versions of everything and what they were made of: `gotd gc` never removes them.
WITH latest AS (
    SELECT a.name, arg_max(a.artifact_key, e.created_at) AS artifact_key
    FROM artifacts AS a JOIN events AS e ON e.artifact_key = a.artifact_key
    GROUP BY a.name
),
needed AS (
    SELECT DISTINCT ancestry.ancestor_key AS artifact_key
    FROM latest JOIN ancestry ON ancestry.artifact_key = latest.artifact_key
)
SELECT 'file' AS kind, a.name AS artifact, a.asset, a.partition, a.version, a.path AS folder, f.file, f.size, f.sha256,
       a.artifact_key IN (FROM needed) AS needed
FROM (
    SELECT f.artifact_key, f.file, arg_max(f.size, e.created_at) AS size, arg_max(f.sha256, e.created_at) AS sha256
    FROM files AS f JOIN events AS e ON e.event_key = f.event_key
    GROUP BY f.artifact_key, f.file
) AS f
JOIN artifacts AS a ON a.artifact_key = f.artifact_key
UNION ALL
SELECT 'source file', a.name, a.asset, a.partition, a.version, NULL, s.path, s.size, s.sha256, true
FROM source_files AS s
JOIN latest ON latest.artifact_key = s.artifact_key
JOIN artifacts AS a ON a.artifact_key = s.artifact_key
ORDER BY kind, artifact, version, file;
