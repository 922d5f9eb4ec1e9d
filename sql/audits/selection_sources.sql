-- title: What is the share of each source in this selection, and in the pool it was chosen from?
-- description: Per source: documents in the pool and in the selection, both shares, and `lift`, the share in the
--   selection divided by the share in the pool (above 1: sought after). Largest share first.
-- parameter selection (version): version of the selection, or its first 8 or more characters
-- example: FROM selection_sources('0b93c2f4')
CREATE OR REPLACE MACRO selection_sources(selection) AS TABLE
WITH chosen AS (
    SELECT s.artifact_key FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key WHERE starts_with(a.version, selection)
),
selected AS (
    SELECT o.source, count(*) AS documents
    FROM members AS m JOIN occurrences AS o ON o.occurrence_key = m.occurrence_key
    WHERE m.artifact_key IN (SELECT chosen.artifact_key FROM chosen)
    GROUP BY ALL
),
pooled AS (
    SELECT o.source, count(*) AS documents
    FROM candidates AS c JOIN occurrences AS o ON o.occurrence_key = c.occurrence_key
    WHERE c.artifact_key IN (
        SELECT ancestry.ancestor_key FROM ancestry JOIN chosen ON chosen.artifact_key = ancestry.artifact_key
    )
    GROUP BY ALL
),
counted AS (
    SELECT coalesce(selected.source, pooled.source) AS source, coalesce(pooled.documents, 0) AS in_pool,
           coalesce(selected.documents, 0) AS in_selection
    FROM selected FULL JOIN pooled ON pooled.source = selected.source
),
shared AS (
    SELECT counted.*, in_pool / nullif(sum(in_pool) OVER (), 0) AS share_of_pool,
           in_selection / sum(in_selection) OVER () AS share_of_selection
    FROM counted
)
SELECT shared.*, shared.share_of_selection / nullif(shared.share_of_pool, 0) AS lift
FROM shared
ORDER BY shared.share_of_selection DESC, shared.source;
