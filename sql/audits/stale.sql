-- title: What is out of date?
-- description: Every artifact in its newest version that was made of something which has a newer version since, or that
--   holds forgotten documents. `cause` names what changed; 'through' says that the change reached the artifact by way
--   of others. The newest version of an artifact is the one materialised last, also when that used an old one again.
-- example: FROM stale()
CREATE OR REPLACE MACRO stale() AS TABLE
WITH latest AS (
    SELECT a.name, arg_max(a.artifact_key, e.created_at) AS artifact_key
    FROM artifacts AS a JOIN events AS e ON e.artifact_key = a.artifact_key
    GROUP BY a.name
),
outdated AS (
    SELECT ancestry.artifact_key, used.name AS cause, used.version AS used_version, now_is.version AS newest_version,
           NOT EXISTS (
               FROM edges WHERE edges.artifact_key = ancestry.artifact_key
                            AND edges.input_name = used.name AND edges.input_version = used.version
           ) AS through
    FROM latest
    JOIN ancestry ON ancestry.artifact_key = latest.artifact_key
    JOIN artifacts AS used ON used.artifact_key = ancestry.ancestor_key
    JOIN latest AS newest ON newest.name = used.name AND newest.artifact_key <> used.artifact_key
    JOIN artifacts AS now_is ON now_is.artifact_key = newest.artifact_key
),
tombstones AS (
    SELECT d.document_key FROM documents AS d SEMI JOIN forgotten AS f ON f.doc_id = d.doc_id
),
holding AS (
    SELECT DISTINCT m.artifact_key, m.document_key FROM members AS m
    WHERE m.document_key IN (SELECT tombstones.document_key FROM tombstones)
    UNION
    SELECT DISTINCT c.artifact_key, o.document_key
    FROM (FROM candidates UNION ALL FROM examples) AS c
    JOIN (
        SELECT o.occurrence_key, o.document_key FROM occurrences AS o
        WHERE o.document_key IN (SELECT tombstones.document_key FROM tombstones)
    ) AS o ON o.occurrence_key = c.occurrence_key
),
-- What was made in the knowledge of a tombstone does not hold the document, though the candidates it was read from may.
spared AS (
    SELECT DISTINCT ancestry.artifact_key, x.document_key
    FROM exclusions AS x
    JOIN ancestry ON ancestry.ancestor_key = x.artifact_key
    WHERE x.reason = 'forgotten' AND x.document_key IN (SELECT tombstones.document_key FROM tombstones)
),
touched AS (
    SELECT ancestry.artifact_key, ancestry.ancestor_key
    FROM holding
    JOIN ancestry ON ancestry.ancestor_key = holding.artifact_key
    LEFT JOIN spared ON spared.artifact_key = ancestry.artifact_key AND spared.document_key = holding.document_key
    WHERE spared.artifact_key IS NULL
       OR EXISTS (FROM examples AS e WHERE e.artifact_key = holding.artifact_key)
)
SELECT a.name AS artifact, a.version, made.made_at,
       CASE WHEN outdated.through THEN 'an input of its inputs is out of date' ELSE 'an input is out of date' END AS reason,
       outdated.cause, outdated.used_version, outdated.newest_version
FROM outdated
JOIN artifacts AS a ON a.artifact_key = outdated.artifact_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
UNION ALL
SELECT a.name, a.version, made.made_at,
       CASE WHEN bool_or(touched.artifact_key = touched.ancestor_key) THEN 'it holds forgotten documents'
            ELSE 'it was made from artifacts that hold forgotten documents' END,
       min(held.name), NULL, NULL
FROM touched
JOIN latest ON latest.artifact_key = touched.artifact_key
JOIN artifacts AS a ON a.artifact_key = latest.artifact_key
JOIN artifacts AS held ON held.artifact_key = touched.ancestor_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
GROUP BY a.name, a.version, made.made_at
ORDER BY 1, 5, 4;
