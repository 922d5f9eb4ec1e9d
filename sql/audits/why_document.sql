-- title: Why was this document selected, or why not?
-- description: For every selection made so far, newest first: whether the document is in it, with its rank and
--   score; else how far its score was from the cut, or why it was left out. A document counts as known when any
--   recorded pool or selection held it; for an unknown one there are no rows. Methods that draw or look at text do not
--   go by the score alone, and it says so.
-- parameter document (doc_id): first 8 or more hex digits of the doc_id
-- parameter target (text, optional): only selections for this target
-- parameter selection (version, optional): only this selection, by the first 8 or more characters of its version
-- example: FROM why_document('3fa94c1e', target := 'imdb')
CREATE OR REPLACE MACRO why_document(document, target := NULL, selection := NULL) AS TABLE
WITH doc AS (
    SELECT d.document_key, d.doc_id FROM documents AS d
    WHERE d.doc_id BETWEEN first_id(document) AND last_id(document)
),
chosen AS (
    SELECT a.artifact_key, a.name, split_part(a.partition, '/', 1) AS of_target, a.version, s.budget, s.cut_score, (a.parameters ->> 'method') AS method,
           -- Away from a target that the scores lead towards: their order is turned round.
           coalesce((a.parameters ->> 'method') = 'gotd-away' AND (a.parameters ->> 'direction') = 'toward', false) AS turned,
           (SELECT max(e.created_at) FROM events AS e WHERE e.artifact_key = a.artifact_key) AS made_at
    FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key
    WHERE (target IS NULL OR a.partition = target OR starts_with(a.partition, target || '/'))
      AND (selection IS NULL OR starts_with(a.version, selection))
),
-- The scores, pools and exclusions that a selection was made from: its own, or those of what it was made of. Of several
-- scores those of its own target: others' are read to stay away from it, or to share with it.
basis AS (
    SELECT chosen.artifact_key, ancestry.ancestor_key, contents.content, contents.row_count
    FROM chosen
    JOIN ancestry ON ancestry.artifact_key = chosen.artifact_key
    JOIN contents ON contents.artifact_key = ancestry.ancestor_key
    JOIN artifacts AS a ON a.artifact_key = ancestry.ancestor_key
    QUALIFY contents.content <> 'scores'
         OR row_number() OVER (PARTITION BY chosen.artifact_key, contents.content
                               ORDER BY a.partition IS DISTINCT FROM chosen.of_target, a.artifact_key) = 1
),
place AS (
    SELECT m.artifact_key, m.document_key, m.selection_rank, m.score, o.source, o.origin
    FROM members AS m
    JOIN occurrences AS o ON o.occurrence_key = m.occurrence_key
    WHERE m.document_key IN (SELECT doc.document_key FROM doc)
),
scored AS (
    SELECT basis.artifact_key, s.document_key, s.score, basis.row_count AS scored_documents,
           CASE WHEN chosen.turned THEN basis.row_count + 1 - s.position ELSE s.position END AS position
    FROM (SELECT * FROM scores AS s WHERE s.document_key IN (SELECT doc.document_key FROM doc)) AS s
    JOIN basis ON basis.content = 'scores' AND basis.ancestor_key = s.artifact_key
    JOIN chosen ON chosen.artifact_key = basis.artifact_key
),
held AS (
    SELECT o.occurrence_key, o.document_key, o.source, o.origin
    FROM occurrences AS o
    WHERE o.document_key IN (SELECT doc.document_key FROM doc)
),
pooled AS (
    SELECT basis.artifact_key, held.document_key, min(held.source) AS source, min(held.origin) AS origin
    FROM (SELECT * FROM candidates AS c WHERE c.occurrence_key IN (SELECT held.occurrence_key FROM held)) AS c
    JOIN held ON held.occurrence_key = c.occurrence_key
    JOIN basis ON basis.content = 'documents' AND basis.ancestor_key = c.artifact_key
    GROUP BY ALL
),
guiding AS (
    SELECT DISTINCT basis.artifact_key, held.document_key
    FROM (SELECT * FROM examples AS e WHERE e.occurrence_key IN (SELECT held.occurrence_key FROM held)) AS e
    JOIN held ON held.occurrence_key = e.occurrence_key
    JOIN basis ON basis.content = 'examples' AND basis.ancestor_key = e.artifact_key
),
-- What lies behind the scores: a document left out there (a duplicate in one of two sources, say) may still be scored.
behind_scores AS (
    SELECT DISTINCT basis.artifact_key, ancestry.ancestor_key
    FROM basis
    JOIN ancestry ON ancestry.artifact_key = basis.ancestor_key AND ancestry.ancestor_key <> basis.ancestor_key
    WHERE basis.content = 'scores'
),
excluded AS (
    SELECT basis.artifact_key, x.document_key, min(x.reason) AS reason, min(x.matched_doc_id) AS matched_doc_id
    FROM exclusions AS x
    JOIN basis ON basis.content = 'exclusions' AND basis.ancestor_key = x.artifact_key
    LEFT JOIN behind_scores AS early
      ON early.artifact_key = basis.artifact_key AND early.ancestor_key = basis.ancestor_key
    LEFT JOIN scored ON scored.artifact_key = basis.artifact_key AND scored.document_key = x.document_key
    WHERE x.document_key IN (SELECT doc.document_key FROM doc)
      AND (early.artifact_key IS NULL OR scored.document_key IS NULL)
    GROUP BY ALL
)
SELECT
    hex_id(doc.doc_id) AS doc_id,
    chosen.name AS selected_subset,
    chosen.version AS selection_version,
    chosen.made_at,
    place.document_key IS NOT NULL AS selected,
    CASE
        WHEN place.document_key IS NOT NULL THEN 'selected: number ' || place.selection_rank || ' of ' || chosen.budget
        WHEN excluded.reason = 'forgotten' THEN 'left out: forgotten' || coalesce(': ' || forgotten.reason, '')
        WHEN excluded.document_key IS NOT NULL THEN 'left out: ' || excluded.reason
        WHEN scored.document_key IS NOT NULL AND chosen.method NOT IN ('gotd', 'gotd-away')
        THEN 'not selected: ' || chosen.method || ' does not go by the score alone; number ' || scored.position || ' of '
             || scored.scored_documents || ' by it'
        WHEN scored.document_key IS NOT NULL
        THEN 'not selected: number ' || scored.position || ' of ' || scored.scored_documents
             || ' by score, and ' || chosen.budget || ' were selected'
        WHEN pooled.document_key IS NOT NULL THEN 'not selected: in the pool; its score was not recorded'
        WHEN guiding.document_key IS NOT NULL THEN 'not in the pool of this selection: a text of its target'
        ELSE 'not in the pool of this selection'
    END AS reason,
    place.selection_rank,
    coalesce(place.score, scored.score::DOUBLE) AS score,
    scored.position AS score_position,
    scored.scored_documents,
    chosen.budget,
    chosen.cut_score,
    hex_id(excluded.matched_doc_id) AS matched_doc_id,
    coalesce(place.source, pooled.source) AS source,
    coalesce(place.origin, pooled.origin) AS origin,
    forgotten.forgotten_at
FROM doc
CROSS JOIN chosen
LEFT JOIN place ON place.artifact_key = chosen.artifact_key AND place.document_key = doc.document_key
LEFT JOIN scored ON scored.artifact_key = chosen.artifact_key AND scored.document_key = doc.document_key
LEFT JOIN pooled ON pooled.artifact_key = chosen.artifact_key AND pooled.document_key = doc.document_key
LEFT JOIN guiding ON guiding.artifact_key = chosen.artifact_key AND guiding.document_key = doc.document_key
LEFT JOIN excluded ON excluded.artifact_key = chosen.artifact_key AND excluded.document_key = doc.document_key
LEFT JOIN forgotten ON forgotten.doc_id = doc.doc_id
ORDER BY chosen.made_at DESC, chosen.name, doc.doc_id;
