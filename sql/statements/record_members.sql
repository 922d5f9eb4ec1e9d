INSERT INTO members
SELECT $artifact_key, o.occurrence_key, d.document_key, i.rank, i.score
FROM incoming AS i
JOIN documents AS d ON d.doc_id = i.doc_id::UUID
JOIN occurrences AS o
  ON o.document_key = d.document_key AND o.source = coalesce(i.source, '') AND o.origin = coalesce(i.origin, '')
ORDER BY d.document_key;

INSERT INTO selections
SELECT $artifact_key, count(*), arg_max(i.score, i.rank) FROM incoming AS i;
