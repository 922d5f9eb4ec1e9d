INSERT INTO exclusions
SELECT DISTINCT $artifact_key, d.document_key, i.reason, i.matched_doc_id::UUID
FROM incoming AS i
JOIN documents AS d ON d.doc_id = i.doc_id::UUID
ORDER BY d.document_key;
