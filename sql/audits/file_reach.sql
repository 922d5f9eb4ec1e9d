-- title: Which selections and models did a file reach?
-- description: For one of the user's own files (a candidate file or a target file): every artifact read from it and
--   everything made from those, each with the checksum the file had then; for selections, how many documents stand in
--   the file, by the origin of the documents. A selection with no document of the file was reached through its scores.
-- parameter file (text): path of the file as recorded, or its end from a '/' on
-- example: FROM file_reach('reviews/part-0007.jsonl.gz')
CREATE OR REPLACE MACRO file_reach(file) AS TABLE
WITH read AS (
    SELECT s.artifact_key, s.path, s.sha256 FROM source_files AS s
    WHERE s.path = file OR ends_with(s.path, '/' || file)
),
stems AS (
    SELECT DISTINCT read.path AS stem FROM read
    UNION SELECT file
),
-- An origin is the file's path, then what tells the record: 'part-0007.jsonl.gz:1042', 'part.parquet#3'.
standing AS (
    SELECT DISTINCT o.occurrence_key
    FROM occurrences AS o
    JOIN stems ON starts_with(o.origin, stems.stem)
              AND substr(o.origin, length(stems.stem) + 1, 1) IN ('', ':', '#', ' ', '[', '@', '?')
),
counted AS (
    SELECT m.artifact_key, count(*) AS document_count
    FROM members AS m WHERE m.occurrence_key IN (SELECT standing.occurrence_key FROM standing)
    GROUP BY ALL
),
reached AS (
    SELECT ancestry.artifact_key, read.path, read.sha256,
           bool_or(ancestry.artifact_key = ancestry.ancestor_key) AS direct
    FROM read JOIN ancestry ON ancestry.ancestor_key = read.artifact_key
    GROUP BY ALL
)
SELECT CASE WHEN reached.direct THEN 'read from it' ELSE 'made from what was read' END AS how,
       a.name AS artifact, a.version,
       CASE WHEN s.artifact_key IS NOT NULL THEN coalesce(counted.document_count, 0) END AS document_count,
       reached.path, reached.sha256, made.made_at, made.run_ids, trained.mlflow_run_ids
FROM reached
JOIN artifacts AS a ON a.artifact_key = reached.artifact_key
LEFT JOIN selections AS s ON s.artifact_key = a.artifact_key
LEFT JOIN counted ON counted.artifact_key = a.artifact_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
LEFT JOIN trained ON trained.artifact_key = a.artifact_key
ORDER BY made.made_at, a.name, a.version;
