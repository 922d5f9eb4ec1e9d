INSERT INTO scores
SELECT $artifact_key, d.document_key, i.score,
       row_number() OVER (ORDER BY CASE WHEN $lowest_first THEN i.score ELSE -i.score END, i.doc_id)
FROM incoming AS i
JOIN documents AS d ON d.doc_id = i.doc_id::UUID
ORDER BY d.document_key;
