-- title: Which selections and models did a source reach, and how much of them is it?
-- description: Every selection with documents of the source, how many and what share of it; and everything made from
--   such a selection, with the largest share among the selections it was made from. Whole source, all its files.
-- parameter source (text): name of the source
-- example: FROM source_reach('reviews')
CREATE OR REPLACE MACRO source_reach(source) AS TABLE
WITH given AS (
    SELECT source AS name
),
counted AS (
    SELECT m.artifact_key, count(*) AS document_count
    FROM members AS m
    WHERE m.occurrence_key IN (SELECT o.occurrence_key FROM occurrences AS o WHERE o.source = (SELECT given.name FROM given))
    GROUP BY ALL
),
shares AS (
    SELECT counted.artifact_key, counted.document_count, counted.document_count / s.budget AS share
    FROM counted JOIN selections AS s ON s.artifact_key = counted.artifact_key
),
reached AS (
    SELECT ancestry.artifact_key,
           CASE WHEN ancestry.artifact_key = ancestry.ancestor_key THEN 'selected' ELSE 'made from a selection with it' END
               AS how,
           shares.document_count, shares.share
    FROM shares JOIN ancestry ON ancestry.ancestor_key = shares.artifact_key
)
SELECT reached.how, a.name AS artifact, a.version, max(reached.document_count) AS document_count,
       max(reached.share) AS share, any_value(made.made_at) AS made_at, any_value(made.run_ids) AS run_ids,
       any_value(trained.mlflow_run_ids) AS mlflow_run_ids
FROM reached
JOIN artifacts AS a ON a.artifact_key = reached.artifact_key
LEFT JOIN made ON made.artifact_key = a.artifact_key
LEFT JOIN trained ON trained.artifact_key = a.artifact_key
GROUP BY reached.how, a.name, a.version
ORDER BY any_value(made.made_at), a.name, a.version;
