-- Files are recorded when an artifact is first made, and again when a later making left other bytes.
CREATE OR REPLACE TEMP TABLE comparison AS
SELECT EXISTS (FROM files WHERE artifact_key = $artifact_key) AS recorded,
       EXISTS (
           FROM incoming_files AS i
           ANTI JOIN files AS f ON f.artifact_key = $artifact_key AND f.file = i.file AND f.sha256 = i.sha256
       ) AS other;

INSERT INTO files
SELECT $artifact_key, $event_key, i.file, i.size, i.sha256
FROM incoming_files AS i, comparison
WHERE comparison.other;

-- In the order they were read in, which is the order of what was made of them.
INSERT INTO source_files
SELECT $artifact_key, i.path, i.size, i.sha256
FROM incoming_source_files AS i
ANTI JOIN source_files AS s ON s.artifact_key = $artifact_key AND s.path = i.path AND s.sha256 = i.sha256
ORDER BY i.position;

INSERT INTO packages
SELECT $environment_id, i.package, i.package_version
FROM incoming_packages AS i
WHERE NOT EXISTS (FROM packages WHERE environment_id = $environment_id);

INSERT INTO conditions
SELECT $conditions_id, i.condition, i.value
FROM incoming_conditions AS i
WHERE NOT EXISTS (FROM conditions WHERE conditions_id = $conditions_id);

INSERT INTO settings
SELECT $settings_id, $settings
WHERE $settings_id IS NOT NULL AND NOT EXISTS (FROM settings WHERE settings_id = $settings_id);

INSERT INTO events
SELECT $event_key, $artifact_key, $created_at, $now, $run_id, $step, $reused, $environment_id, recorded AND other,
       $conditions_id, $settings_id
FROM comparison;

DROP TABLE comparison;
