-- title: Which documents are in this selection?
-- description: The members in the order they were selected, with score and where each stands.
-- parameter selection (version): version of the selection, or its first 8 or more characters
-- example: FROM selection_members('0b93c2f4') LIMIT 20
CREATE OR REPLACE MACRO selection_members(selection) AS TABLE
SELECT m.selection_rank, hex_id(d.doc_id) AS doc_id, o.source, o.origin, m.score
FROM members AS m
JOIN documents AS d ON d.document_key = m.document_key
JOIN occurrences AS o ON o.occurrence_key = m.occurrence_key
WHERE m.artifact_key IN (
    SELECT s.artifact_key FROM selections AS s
    JOIN artifacts AS a ON a.artifact_key = s.artifact_key WHERE starts_with(a.version, selection)
)
ORDER BY m.selection_rank;
