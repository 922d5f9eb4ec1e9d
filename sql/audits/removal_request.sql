-- title: What must be touched to honour the removal of this document?
-- description: Everything that holds the document's text, its vector, its score or what a model learned from it, in the
--   order to work through: the user's own files, the pools and targets read from them, what was computed from these
--   pools, selections with it, and models trained on it; for a text of a target everything made for that target, as
--   selections show the nearest text of the target beside each document. `gotd forget` keeps it out of everything built from then on; what
--   stands already stays until it is deleted, and `location` says where it is.
-- parameter document (doc_id): first 8 or more hex digits of the doc_id
-- example: FROM removal_request('3fa94c1e')
CREATE OR REPLACE MACRO removal_request(document) AS TABLE
-- Walked once for all that follows.
WITH lines AS MATERIALIZED (
    SELECT ancestry.artifact_key, ancestry.ancestor_key FROM ancestry
),
-- Selections, and what was made of them.
behind_selections AS MATERIALIZED (
    SELECT DISTINCT lines.artifact_key FROM lines JOIN selections AS s ON s.artifact_key = lines.ancestor_key
),
doc AS (
    SELECT d.document_key, d.doc_id FROM documents AS d
    WHERE d.doc_id BETWEEN first_id(document) AND last_id(document)
),
held AS (
    SELECT o.* FROM occurrences AS o WHERE o.document_key IN (SELECT doc.document_key FROM doc)
),
pools AS (
    SELECT DISTINCT c.artifact_key, held.document_key
    FROM (SELECT * FROM candidates AS c WHERE c.occurrence_key IN (SELECT held.occurrence_key FROM held)) AS c
    JOIN held ON held.occurrence_key = c.occurrence_key
),
chosen AS (
    SELECT m.artifact_key, m.document_key FROM members AS m
    WHERE m.document_key IN (SELECT doc.document_key FROM doc)
),
learnt AS (
    SELECT DISTINCT lines.artifact_key, chosen.document_key
    FROM chosen JOIN lines ON lines.ancestor_key = chosen.artifact_key
    ANTI JOIN chosen AS itself ON itself.artifact_key = lines.artifact_key
),
-- What was made in the knowledge of a tombstone does not hold the document, though what it was read from still may.
spared AS (
    SELECT DISTINCT lines.artifact_key, x.document_key
    FROM exclusions AS x
    JOIN lines ON lines.ancestor_key = x.artifact_key
    WHERE x.reason = 'forgotten' AND x.document_key IN (SELECT doc.document_key FROM doc)
),
-- Between a pool and a selection: vectors, potentials, scores. Selections that do not hold the document are not touched,
-- nor is what was made from those.
computed AS (
    SELECT DISTINCT lines.artifact_key, pools.document_key
    FROM pools JOIN lines ON lines.ancestor_key = pools.artifact_key
    ANTI JOIN (
        SELECT pools.artifact_key, pools.document_key FROM pools UNION SELECT spared.artifact_key, spared.document_key FROM spared
    ) AS apart ON apart.artifact_key = lines.artifact_key AND apart.document_key = pools.document_key
    ANTI JOIN behind_selections ON behind_selections.artifact_key = lines.artifact_key
),
examples_of AS (
    SELECT DISTINCT e.artifact_key, held.document_key FROM examples AS e
    JOIN held ON held.occurrence_key = e.occurrence_key
),
-- Also those that hold the document for another reason, which says more.
guided AS (
    SELECT DISTINCT lines.artifact_key, examples_of.document_key
    FROM examples_of JOIN lines ON lines.ancestor_key = examples_of.artifact_key
    ANTI JOIN (
        FROM examples_of UNION FROM pools UNION FROM computed UNION FROM chosen UNION FROM learnt
    ) AS apart ON apart.artifact_key = lines.artifact_key AND apart.document_key = examples_of.document_key
),
touched AS (
    SELECT pools.document_key, 2 AS part, 'delete or make again: holds the text' AS action, pools.artifact_key FROM pools
    UNION ALL
    SELECT examples_of.document_key, 2, 'delete or make again: holds the text', examples_of.artifact_key FROM examples_of
    UNION ALL
    SELECT guided.document_key, 6,
           CASE WHEN EXISTS (FROM trainings AS t WHERE t.artifact_key = guided.artifact_key)
                THEN 'train again: made for a target with it' ELSE 'delete or make again: made for a target with it' END,
           guided.artifact_key
    FROM guided
    UNION ALL
    SELECT computed.document_key, 3, 'delete or make again: computed from the pool with it', computed.artifact_key FROM computed
    UNION ALL
    SELECT chosen.document_key, 4, 'delete, select again: holds the text', chosen.artifact_key FROM chosen
    UNION ALL
    SELECT learnt.document_key, 5,
           CASE WHEN EXISTS (FROM trainings AS t WHERE t.artifact_key = learnt.artifact_key)
                THEN 'withdraw, train again: learned from it' ELSE 'delete or make again: made from a selection with it' END,
           learnt.artifact_key
    FROM learnt
)
SELECT hex_id(doc.doc_id) AS doc_id, todo.action, todo.artifact, todo.version, todo.location, todo.mlflow_run_ids,
       forgotten.forgotten_at
FROM (
    SELECT held.document_key, 1 AS part, 'remove from your own data' AS action, held.source AS artifact,
           NULL AS version, held.origin AS location, NULL AS mlflow_run_ids
    FROM held
    UNION ALL
    SELECT touched.document_key, touched.part, touched.action, a.name, a.version, a.path, trained.mlflow_run_ids
    FROM touched
    JOIN artifacts AS a ON a.artifact_key = touched.artifact_key
    LEFT JOIN trained ON trained.artifact_key = a.artifact_key
) AS todo
JOIN doc ON doc.document_key = todo.document_key
LEFT JOIN forgotten ON forgotten.doc_id = doc.doc_id
ORDER BY doc.doc_id, todo.part, todo.artifact, todo.version, todo.location;
