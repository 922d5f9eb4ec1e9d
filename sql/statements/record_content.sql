INSERT INTO contents VALUES ($artifact_key, $content, $row_count);
