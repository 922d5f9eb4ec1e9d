-- New doc_ids get the next numbers, in their own order.
INSERT INTO documents
SELECT coalesce((SELECT max(document_key) FROM documents), 0) + row_number() OVER (ORDER BY fresh.doc_id), fresh.doc_id
FROM (SELECT DISTINCT i.doc_id::UUID AS doc_id FROM incoming AS i) AS fresh
ANTI JOIN documents AS d ON d.doc_id = fresh.doc_id
ORDER BY fresh.doc_id;
