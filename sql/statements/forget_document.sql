INSERT INTO forgotten VALUES ($doc_id::UUID, $now, $reason) ON CONFLICT DO NOTHING;
