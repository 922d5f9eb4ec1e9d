-- title: Which documents differ between two selections, and why?
-- description: One row per document that entered, left or moved (another rank), with ranks and scores on both sides and
--   what happened to it. What changed in the making of the selections is told by difference_causes.
-- parameter earlier (version): version of the earlier selection, or its first 8 or more characters
-- parameter later (version): version of the later selection, or its first 8 or more characters
-- example: FROM selection_difference('5d1e8a77', '0b93c2f4') WHERE change <> 'moved'
CREATE OR REPLACE MACRO selection_difference(earlier, later) AS TABLE
WITH RECURSIVE sides AS (
    SELECT s.artifact_key, split_part(a.partition, '/', 1) AS target, false AS is_later FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key WHERE starts_with(a.version, earlier)
    UNION ALL
    SELECT s.artifact_key, split_part(a.partition, '/', 1), true FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key WHERE starts_with(a.version, later)
),
-- What each side was made of. The view ancestry would be worked out for every artifact there is.
made_of AS (
    SELECT sides.is_later, sides.artifact_key FROM sides
    UNION
    SELECT made_of.is_later, input.artifact_key
    FROM made_of
    JOIN edges ON edges.artifact_key = made_of.artifact_key
    JOIN artifacts AS input ON input.name = edges.input_name AND input.version = edges.input_version
),
-- Of several scores those of the selection's own target: others' are read to stay away from it, or to share with it.
basis AS (
    SELECT made_of.is_later, contents.content, contents.artifact_key
    FROM made_of
    JOIN contents ON contents.artifact_key = made_of.artifact_key
    JOIN artifacts AS a ON a.artifact_key = contents.artifact_key
    JOIN sides ON sides.is_later = made_of.is_later
    QUALIFY contents.content <> 'scores'
         OR row_number() OVER (PARTITION BY made_of.is_later, contents.content
                               ORDER BY a.partition IS DISTINCT FROM sides.target, a.artifact_key) = 1
),
recorded AS (
    SELECT sides.is_later, bool_or(basis.content = 'documents') AS pool
    FROM sides LEFT JOIN basis ON basis.is_later = sides.is_later
    GROUP BY ALL
),
old AS (
    SELECT m.document_key, m.occurrence_key, m.selection_rank, m.score FROM members AS m
    WHERE m.artifact_key IN (SELECT sides.artifact_key FROM sides WHERE NOT sides.is_later)
),
new AS (
    SELECT m.document_key, m.occurrence_key, m.selection_rank, m.score FROM members AS m
    WHERE m.artifact_key IN (SELECT sides.artifact_key FROM sides WHERE sides.is_later)
),
differing AS (
    SELECT coalesce(new.document_key, old.document_key) AS document_key,
           coalesce(new.occurrence_key, old.occurrence_key) AS occurrence_key,
           old.selection_rank AS rank_before, new.selection_rank AS rank_after,
           old.score AS score_before, new.score AS score_after
    FROM old FULL JOIN new ON new.document_key = old.document_key
    WHERE old.selection_rank IS DISTINCT FROM new.selection_rank
),
-- A document that entered was absent before, one that left is absent later: for these, what was known on that side.
absent AS (
    SELECT d.document_key, d.rank_after IS NULL AS is_later
    FROM differing AS d WHERE d.rank_before IS NULL OR d.rank_after IS NULL
),
-- Found first and by themselves, so that of all scores only theirs are read.
scores_of_sides AS (
    SELECT s.artifact_key, s.document_key, s.score, s.position FROM scores AS s
    WHERE s.artifact_key IN (SELECT basis.artifact_key FROM basis WHERE basis.content = 'scores')
),
scored AS (
    SELECT s.document_key, s.score, s.position
    FROM scores_of_sides AS s
    JOIN basis ON basis.content = 'scores' AND basis.artifact_key = s.artifact_key
    JOIN absent ON absent.document_key = s.document_key AND absent.is_later = basis.is_later
),
-- A document left out before the scores were computed (a duplicate in one of two sources, say) may still be scored.
behind_scores AS (
    SELECT basis.is_later, input.artifact_key
    FROM basis
    JOIN edges ON edges.artifact_key = basis.artifact_key
    JOIN artifacts AS input ON input.name = edges.input_name AND input.version = edges.input_version
    WHERE basis.content = 'scores'
    UNION
    SELECT behind_scores.is_later, input.artifact_key
    FROM behind_scores
    JOIN edges ON edges.artifact_key = behind_scores.artifact_key
    JOIN artifacts AS input ON input.name = edges.input_name AND input.version = edges.input_version
),
excluded AS (
    SELECT x.document_key, min(x.reason) AS reason
    FROM exclusions AS x
    JOIN basis ON basis.content = 'exclusions' AND basis.artifact_key = x.artifact_key
    JOIN absent ON absent.document_key = x.document_key AND absent.is_later = basis.is_later
    LEFT JOIN behind_scores AS early ON early.is_later = basis.is_later AND early.artifact_key = basis.artifact_key
    LEFT JOIN scored ON scored.document_key = x.document_key
    WHERE early.artifact_key IS NULL OR scored.document_key IS NULL
    GROUP BY x.document_key
),
-- What has a score was in the pool; only the rest has to be looked up there.
pooled AS (
    SELECT DISTINCT absent.document_key
    FROM absent
    ANTI JOIN scored ON scored.document_key = absent.document_key
    JOIN occurrences AS o ON o.document_key = absent.document_key
    JOIN candidates AS c ON c.occurrence_key = o.occurrence_key
    JOIN basis ON basis.content = 'documents' AND basis.artifact_key = c.artifact_key
              AND basis.is_later = absent.is_later
),
explained AS (
    SELECT
        absent.document_key, scored.score,
        CASE
            WHEN forgotten.doc_id IS NOT NULL AND absent.is_later AND scored.document_key IS NULL
                 AND (excluded.reason = 'forgotten' OR pooled.document_key IS NULL)
            THEN 'forgotten: ' || forgotten.reason
            WHEN excluded.document_key IS NOT NULL THEN 'left out ' || side || ': ' || excluded.reason
            WHEN scored.document_key IS NOT NULL
            THEN 'number ' || scored.position || ' by score ' || side || ', beyond the cut'
            WHEN pooled.document_key IS NOT NULL THEN 'in the pool ' || side || ', score not recorded'
            WHEN recorded.pool THEN 'not in the pool ' || side
            ELSE 'absent ' || side || '; that pool was not recorded'
        END AS reason
    FROM (SELECT *, CASE WHEN is_later THEN 'after' ELSE 'before' END AS side FROM absent) AS absent
    LEFT JOIN recorded ON recorded.is_later = absent.is_later
    LEFT JOIN scored ON scored.document_key = absent.document_key
    LEFT JOIN excluded ON excluded.document_key = absent.document_key
    LEFT JOIN pooled ON pooled.document_key = absent.document_key
    LEFT JOIN (SELECT d.document_key, f.doc_id, f.reason FROM forgotten AS f JOIN documents AS d ON d.doc_id = f.doc_id)
        AS forgotten ON forgotten.document_key = absent.document_key
)
SELECT
    CASE WHEN rank_before IS NULL THEN 'entered' WHEN rank_after IS NULL THEN 'left' ELSE 'moved' END AS change,
    hex_id(documents.doc_id) AS doc_id,
    o.source,
    o.origin,
    rank_before,
    rank_after,
    CASE WHEN rank_before IS NULL THEN explained.score::DOUBLE ELSE score_before END AS score_before,
    CASE WHEN rank_after IS NULL THEN explained.score::DOUBLE ELSE score_after END AS score_after,
    coalesce(explained.reason, 'in both, at another rank') AS reason
FROM differing
JOIN documents ON documents.document_key = differing.document_key
JOIN occurrences AS o ON o.occurrence_key = differing.occurrence_key
LEFT JOIN explained ON explained.document_key = differing.document_key
ORDER BY change, coalesce(rank_after, rank_before);
