-- Which kinds of document rows an artifact brought along when it was recorded first.
SELECT c.content
FROM contents AS c
JOIN artifacts AS a ON a.artifact_key = c.artifact_key
WHERE a.name = $name AND a.version = $version;
