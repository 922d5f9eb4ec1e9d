-- title: What was made again and came out different?
-- description: A version names what an artifact was made of; made again it should be the same, byte for byte. Training on
--   other hardware is the usual exception. Lists every file whose checksum has more than one value.
-- example: FROM rebuilt_differently()
CREATE OR REPLACE MACRO rebuilt_differently() AS TABLE
SELECT a.name AS artifact, a.version, f.file, f.sha256, f.size, e.created_at AS made_at, e.run_id
FROM files AS f
JOIN artifacts AS a ON a.artifact_key = f.artifact_key
JOIN events AS e ON e.event_key = f.event_key
WHERE f.artifact_key IN (SELECT other.artifact_key FROM events AS other WHERE other.files_differ)
ORDER BY a.name, a.version, f.file, e.created_at;
