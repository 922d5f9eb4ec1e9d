SELECT count(*) FROM events WHERE event_key = $event_key;
