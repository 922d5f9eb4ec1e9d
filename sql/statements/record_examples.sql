INSERT INTO examples
SELECT DISTINCT $artifact_key, o.occurrence_key
FROM incoming AS i
JOIN documents AS d ON d.doc_id = i.doc_id::UUID
JOIN occurrences AS o
  ON o.document_key = d.document_key AND o.source = coalesce(i.source, '') AND o.origin = coalesce(i.origin, '')
ORDER BY o.occurrence_key;
