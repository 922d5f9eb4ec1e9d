-- The first row with a malformed doc_id, if any, and how often one doc_id is repeated at most.
SELECT count(*),
       arg_min(coalesce(i.doc_id::VARCHAR, 'null'), i.row_number)
           FILTER (i.doc_id IS NULL OR NOT regexp_full_match(i.doc_id::VARCHAR, '[0-9a-f]{32}')),
       min(i.row_number) FILTER (i.doc_id IS NULL OR NOT regexp_full_match(i.doc_id::VARCHAR, '[0-9a-f]{32}')),
       count(*) - count(DISTINCT i.doc_id)
FROM (SELECT doc_id, row_number() OVER () AS row_number FROM incoming) AS i;
