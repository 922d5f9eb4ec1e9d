CREATE OR REPLACE TEMP TABLE placed AS
SELECT DISTINCT d.document_key, coalesce(i.source, '') AS source, coalesce(i.origin, '') AS origin
FROM incoming AS i
JOIN documents AS d ON d.doc_id = i.doc_id::UUID;

INSERT INTO occurrences
SELECT coalesce((SELECT max(occurrence_key) FROM occurrences), 0)
       + row_number() OVER (ORDER BY p.document_key, p.source, p.origin),
       p.document_key, p.source, p.origin
FROM placed AS p
ANTI JOIN occurrences AS o
  ON o.document_key = p.document_key AND o.source = p.source AND o.origin = p.origin
ORDER BY ALL;

DROP TABLE placed;
