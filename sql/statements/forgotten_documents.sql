SELECT hex_id(doc_id) AS doc_id, forgotten_at, reason FROM forgotten ORDER BY doc_id;
