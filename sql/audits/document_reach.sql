-- title: Where has this document been?
-- description: Every pool that holds the document, every selection it is in, and everything made from those selections
--   (models, reports) with its MLflow run. 'made from a selection' is transitive. Being in a pool also moved the scores
--   of others a little; artifacts reached in that way only are not listed (artifact_reach lists them). Of a text of a
--   target, which guides what is selected, everything made for that target.
-- parameter document (doc_id): first 8 or more hex digits of the doc_id
-- example: FROM document_reach('3fa94c1e')
CREATE OR REPLACE MACRO document_reach(document) AS TABLE
WITH doc AS (
    SELECT d.document_key, d.doc_id FROM documents AS d
    WHERE d.doc_id BETWEEN first_id(document) AND last_id(document)
),
held AS (
    SELECT o.occurrence_key, o.document_key FROM occurrences AS o
    WHERE o.document_key IN (SELECT doc.document_key FROM doc)
),
direct AS (
    SELECT m.artifact_key, m.document_key, 'selected' AS how, m.selection_rank
    FROM members AS m WHERE m.document_key IN (SELECT doc.document_key FROM doc)
),
examples_of AS (
    SELECT DISTINCT e.artifact_key, held.document_key FROM examples AS e
    JOIN held ON held.occurrence_key = e.occurrence_key
),
reached AS (
    SELECT DISTINCT c.artifact_key, held.document_key, 'in the pool' AS how, NULL AS selection_rank
    FROM (SELECT * FROM candidates AS c WHERE c.occurrence_key IN (SELECT held.occurrence_key FROM held)) AS c
    JOIN held ON held.occurrence_key = c.occurrence_key
    UNION ALL
    SELECT DISTINCT ancestry.artifact_key, examples_of.document_key,
           CASE WHEN ancestry.artifact_key = ancestry.ancestor_key THEN 'a text of the target'
                ELSE 'made for a target with it' END,
           NULL
    FROM examples_of JOIN ancestry ON ancestry.ancestor_key = examples_of.artifact_key
    UNION ALL
    FROM direct
    UNION ALL
    SELECT DISTINCT ancestry.artifact_key, direct.document_key, 'made from a selection with it', NULL
    FROM direct
    JOIN ancestry ON ancestry.ancestor_key = direct.artifact_key AND ancestry.artifact_key <> direct.artifact_key
)
SELECT hex_id(doc.doc_id) AS doc_id, reached.how, a.name AS artifact, a.version, reached.selection_rank,
       made.made_at, made.run_ids, trained.mlflow_run_ids
FROM reached
JOIN doc ON doc.document_key = reached.document_key
JOIN artifacts AS a ON a.artifact_key = reached.artifact_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
LEFT JOIN trained ON trained.artifact_key = a.artifact_key
ORDER BY doc.doc_id, made.made_at, a.name, a.version;
