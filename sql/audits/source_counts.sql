-- title: What became of the records of each source?
-- description: For every version of the documents of every source and target, newest first: records read, quarantined
--   (with reasons, and the file that lists them), left out by the filter, beyond the limit, too short; chunks cut or
--   joined; repeats of a text within the source; documents kept; and of these, for the last pool they were part of, how
--   many left it because another source has them, exactly or nearly. A target's rows say nothing of pools.
-- parameter source (text, optional): only this source or target
-- example: FROM source_counts(source := 'reviews')
CREATE OR REPLACE MACRO source_counts(source := NULL) AS TABLE
WITH pools AS (
    SELECT e.input_name, e.input_version, arg_max(p.summary, made.made_at) AS summary
    FROM edges AS e
    JOIN artifacts AS p ON p.artifact_key = e.artifact_key AND p.asset = 'candidate_pool'
    JOIN made ON made.artifact_key = p.artifact_key
    GROUP BY ALL
)
SELECT a.name AS documents_of, a.version, made.made_at,
       (a.summary ->> 'read')::BIGINT AS read,
       (a.summary ->> 'quarantined')::BIGINT AS quarantined,
       (a.summary ->> 'quarantined_by_reason') AS reasons,
       CASE WHEN (a.summary ->> 'quarantined')::BIGINT > 0 THEN a.path || '/quarantine.jsonl' END AS quarantine_file,
       (a.summary ->> 'filtered')::BIGINT AS filtered,
       (a.summary ->> 'unread')::BIGINT AS unread,
       (a.summary ->> 'too_short')::BIGINT AS too_short,
       (a.summary ->> 'chunks')::BIGINT AS chunks,
       (a.summary ->> 'duplicates')::BIGINT AS repeated_in_source,
       (a.summary ->> 'kept')::BIGINT AS kept,
       (pools.summary -> 'exact_by_source' ->> ('$."' || a.partition || '"'))::BIGINT AS exact_in_other_sources,
       (pools.summary -> 'near_by_source' ->> ('$."' || a.partition || '"'))::BIGINT AS near_duplicates
FROM artifacts AS a
JOIN made ON made.artifact_key = a.artifact_key
LEFT JOIN pools ON pools.input_name = a.name AND pools.input_version = a.version
WHERE a.asset IN ('raw_candidates', 'target_documents') AND (source IS NULL OR a.partition = source)
ORDER BY made.made_at DESC, a.name;
