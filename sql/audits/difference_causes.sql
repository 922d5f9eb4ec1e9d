-- title: What changed in the making of two selections (or any two artifacts of one kind)?
-- description: Compares what the two were made of, all the way back, and lists every difference: an artifact made of
--   other source files, with other parameters, by other code or from another external input. Differences that only
--   follow from others (a version that changed because its input did) are not listed. `area` says 'target', 'pool',
--   'parameters', 'code' or 'input'.
-- parameter earlier (version): version of the earlier artifact, or its first 8 or more characters
-- parameter later (version): version of the later artifact, or its first 8 or more characters
-- example: FROM difference_causes('5d1e8a77', '0b93c2f4')
CREATE OR REPLACE MACRO difference_causes(earlier, later) AS TABLE
WITH old AS (
    SELECT DISTINCT a.* FROM artifacts AS top
    JOIN ancestry ON ancestry.artifact_key = top.artifact_key
    JOIN artifacts AS a ON a.artifact_key = ancestry.ancestor_key
    WHERE starts_with(top.version, earlier)
),
new AS (
    SELECT DISTINCT a.* FROM artifacts AS top
    JOIN ancestry ON ancestry.artifact_key = top.artifact_key
    JOIN artifacts AS a ON a.artifact_key = ancestry.ancestor_key
    WHERE starts_with(top.version, later)
),
pairs AS (
    SELECT coalesce(new.name, old.name) AS name, coalesce(new.asset, old.asset) AS asset,
           old.artifact_key AS old_key, new.artifact_key AS new_key,
           old.code_version AS old_code, new.code_version AS new_code,
           coalesce(old.parameters, '{}') AS old_parameters, coalesce(new.parameters, '{}') AS new_parameters
    FROM old FULL JOIN new ON new.name = old.name
    WHERE old.version IS DISTINCT FROM new.version
),
read_files AS (
    SELECT pairs.name, pairs.asset, s.path,
           any_value(s.sha256) FILTER (s.artifact_key = pairs.old_key) AS before,
           any_value(s.sha256) FILTER (s.artifact_key = pairs.new_key) AS after
    FROM pairs JOIN source_files AS s ON s.artifact_key IN (pairs.old_key, pairs.new_key)
    GROUP BY ALL
),
outside AS (
    SELECT pairs.name, edges.input_name,
           any_value(edges.input_version) FILTER (edges.artifact_key = pairs.old_key) AS before,
           any_value(edges.input_version) FILTER (edges.artifact_key = pairs.new_key) AS after
    FROM pairs
    JOIN edges ON edges.artifact_key IN (pairs.old_key, pairs.new_key)
    ANTI JOIN artifacts AS known ON known.name = edges.input_name
    GROUP BY ALL
),
settings AS (
    SELECT pairs.name, setting.key, pairs.old_key, pairs.new_key,
           map_extract_value(pairs.old_parameters::MAP(VARCHAR, JSON), setting.key) AS before,
           map_extract_value(pairs.new_parameters::MAP(VARCHAR, JSON), setting.key) AS after
    FROM pairs,
         unnest(list_distinct(json_keys(pairs.old_parameters) || json_keys(pairs.new_parameters))) AS setting(key)
    WHERE pairs.old_key IS NOT NULL AND pairs.new_key IS NOT NULL
)
SELECT CASE WHEN starts_with(read_files.asset, 'target') THEN 'target' ELSE 'pool' END AS area,
       read_files.name AS artifact,
       CASE WHEN read_files.before IS NULL THEN 'file added' WHEN read_files.after IS NULL THEN 'file removed'
            ELSE 'file changed' END AS change,
       read_files.path AS item, read_files.before, read_files.after
FROM read_files WHERE read_files.before IS DISTINCT FROM read_files.after
UNION ALL
SELECT 'input', outside.name,
       CASE WHEN outside.before IS NULL THEN 'input added' WHEN outside.after IS NULL THEN 'input removed'
            ELSE 'input changed' END,
       outside.input_name, outside.before, outside.after
FROM outside WHERE outside.before IS DISTINCT FROM outside.after
UNION ALL
SELECT 'parameters', settings.name,
       CASE WHEN settings.before IS NULL THEN 'parameter added' WHEN settings.after IS NULL THEN 'parameter removed'
            ELSE 'parameter changed' END,
       settings.key, settings.before ->> '$', settings.after ->> '$'
FROM settings WHERE settings.before::VARCHAR IS DISTINCT FROM settings.after::VARCHAR
UNION ALL
SELECT 'code', pairs.name, 'code version changed', pairs.asset, pairs.old_code, pairs.new_code
FROM pairs WHERE pairs.old_code <> pairs.new_code
UNION ALL
SELECT CASE WHEN starts_with(pairs.asset, 'target') THEN 'target'
            WHEN pairs.asset IN ('raw_candidates', 'candidate_embeddings') THEN 'pool' ELSE 'input' END,
       pairs.name, CASE WHEN pairs.old_key IS NULL THEN 'artifact added' ELSE 'artifact no longer used' END,
       pairs.name, NULL, NULL
FROM pairs WHERE pairs.old_key IS NULL OR pairs.new_key IS NULL
ORDER BY 1, 2, 3, 4;
