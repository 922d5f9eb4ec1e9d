-- title: Which documents differ between two selections, and why?
-- description: One row per document that entered, left or moved (another rank), with ranks and scores on both sides and
--   what happened to it. What changed in the making of the selections is told by difference_causes.
-- parameter earlier (version): version of the earlier selection, or its first 8 or more characters
-- parameter later (version): version of the later selection, or its first 8 or more characters
-- example: FROM selection_difference('5d1e8a77', '0b93c2f4') WHERE change <> 'moved'
CREATE OR REPLACE MACRO selection_difference(earlier, later) AS TABLE
WITH sides AS (
    SELECT s.artifact_key, 'before' AS side FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key WHERE starts_with(a.version, earlier)
    UNION ALL
    SELECT s.artifact_key, 'after' FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key WHERE starts_with(a.version, later)
),
basis AS (
    SELECT sides.side, contents.content, contents.artifact_key
    FROM sides
    JOIN ancestry ON ancestry.artifact_key = sides.artifact_key
    JOIN contents ON contents.artifact_key = ancestry.ancestor_key
),
old AS (
    SELECT m.document_key, m.occurrence_key, m.selection_rank, m.score FROM members AS m
    WHERE m.artifact_key IN (SELECT sides.artifact_key FROM sides WHERE sides.side = 'before')
),
new AS (
    SELECT m.document_key, m.occurrence_key, m.selection_rank, m.score FROM members AS m
    WHERE m.artifact_key IN (SELECT sides.artifact_key FROM sides WHERE sides.side = 'after')
),
differing AS (
    SELECT coalesce(new.document_key, old.document_key) AS document_key,
           coalesce(new.occurrence_key, old.occurrence_key) AS occurrence_key,
           CASE WHEN old.document_key IS NULL THEN 'entered' WHEN new.document_key IS NULL THEN 'left' ELSE 'moved' END
               AS change,
           old.selection_rank AS rank_before, new.selection_rank AS rank_after,
           old.score AS score_before, new.score AS score_after
    FROM old FULL JOIN new ON new.document_key = old.document_key
    WHERE old.selection_rank IS DISTINCT FROM new.selection_rank
),
-- A document that entered was absent before, one that left is absent now: for these, what was known on the other side.
absent AS (
    SELECT d.document_key, CASE WHEN d.change = 'entered' THEN 'before' ELSE 'after' END AS side
    FROM differing AS d WHERE d.change <> 'moved'
),
scored AS (
    SELECT basis.side, s.document_key, any_value(s.score) AS score, any_value(s.position) AS position
    FROM scores AS s
    JOIN basis ON basis.content = 'scores' AND basis.artifact_key = s.artifact_key
    SEMI JOIN absent ON absent.document_key = s.document_key AND absent.side = basis.side
    GROUP BY ALL
),
-- A document left out before the scores were computed (a duplicate in one of two sources, say) may still be scored.
behind_scores AS (
    SELECT DISTINCT basis.side, ancestry.ancestor_key
    FROM basis
    JOIN ancestry ON ancestry.artifact_key = basis.artifact_key AND ancestry.ancestor_key <> basis.artifact_key
    WHERE basis.content = 'scores'
),
excluded AS (
    SELECT basis.side, x.document_key, min(x.reason) AS reason
    FROM exclusions AS x
    JOIN basis ON basis.content = 'exclusions' AND basis.artifact_key = x.artifact_key
    LEFT JOIN behind_scores AS early ON early.side = basis.side AND early.ancestor_key = basis.artifact_key
    LEFT JOIN scored ON scored.side = basis.side AND scored.document_key = x.document_key
    SEMI JOIN absent ON absent.document_key = x.document_key AND absent.side = basis.side
    WHERE early.side IS NULL OR scored.document_key IS NULL
    GROUP BY ALL
),
-- What has a score was in the pool; only the rest has to be looked up there.
unexplained AS (
    SELECT absent.document_key, absent.side FROM absent
    ANTI JOIN scored ON scored.document_key = absent.document_key AND scored.side = absent.side
),
standing AS (
    SELECT o.occurrence_key, unexplained.document_key, unexplained.side
    FROM occurrences AS o JOIN unexplained ON unexplained.document_key = o.document_key
),
pooled AS (
    SELECT DISTINCT standing.side, standing.document_key
    FROM candidates AS c
    JOIN standing ON standing.occurrence_key = c.occurrence_key
    JOIN basis ON basis.content = 'documents' AND basis.artifact_key = c.artifact_key AND basis.side = standing.side
),
recorded AS (
    SELECT sides.side, bool_or(basis.content = 'documents') AS pool FROM sides LEFT JOIN basis ON basis.side = sides.side
    GROUP BY ALL
)
SELECT
    differing.change,
    hex_id(documents.doc_id) AS doc_id,
    o.source,
    o.origin,
    differing.rank_before,
    differing.rank_after,
    coalesce(differing.score_before, CASE WHEN differing.change = 'entered' THEN scored.score::DOUBLE END) AS score_before,
    coalesce(differing.score_after, CASE WHEN differing.change = 'left' THEN scored.score::DOUBLE END) AS score_after,
    CASE
        WHEN differing.change = 'moved' THEN 'in both, at another rank'
        WHEN forgotten.doc_id IS NOT NULL AND differing.change = 'left' AND scored.document_key IS NULL
             AND (excluded.reason = 'forgotten' OR pooled.document_key IS NULL)
        THEN 'forgotten: ' || forgotten.reason
        WHEN excluded.document_key IS NOT NULL THEN 'left out ' || absent.side || ': ' || excluded.reason
        WHEN scored.document_key IS NOT NULL
        THEN 'number ' || scored.position || ' by score ' || absent.side || ', beyond the cut'
        WHEN pooled.document_key IS NOT NULL THEN 'in the pool ' || absent.side || ', score not recorded'
        WHEN recorded.pool THEN 'not in the pool ' || absent.side
        ELSE 'absent ' || absent.side || '; that pool was not recorded'
    END AS reason
FROM differing
JOIN documents ON documents.document_key = differing.document_key
JOIN occurrences AS o ON o.occurrence_key = differing.occurrence_key
LEFT JOIN absent ON absent.document_key = differing.document_key
LEFT JOIN scored ON scored.document_key = absent.document_key AND scored.side = absent.side
LEFT JOIN excluded ON excluded.document_key = absent.document_key AND excluded.side = absent.side
LEFT JOIN pooled ON pooled.document_key = absent.document_key AND pooled.side = absent.side
LEFT JOIN recorded ON recorded.side = absent.side
LEFT JOIN forgotten ON forgotten.doc_id = documents.doc_id
ORDER BY differing.change, coalesce(differing.rank_after, differing.rank_before), documents.doc_id;
