SELECT hex_id(doc_id) FROM documents WHERE doc_id BETWEEN first_id($prefix) AND last_id($prefix) ORDER BY doc_id LIMIT 5;
