-- title: Which settings was this version made with?
-- description: One row for every setting, secrets left out, of the materialisation that made the version; none for what
--   was recorded before settings were.
-- parameter version (version): version of the artifact, or its first 8 or more characters
-- example: FROM settings_behind('9f04ab12') WHERE starts_with(setting, 'transport')
CREATE OR REPLACE MACRO settings_behind(version) AS TABLE
WITH given AS (
    SELECT version AS beginning
),
maker AS (
    SELECT a.name, a.version, e.settings_id
    FROM given, artifacts AS a JOIN events AS e ON e.artifact_key = a.artifact_key
    WHERE starts_with(a.version, given.beginning) AND e.settings_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY a.artifact_key ORDER BY e.reused, e.created_at) = 1
)
SELECT maker.name AS artifact, maker.version, regexp_replace(tree.fullkey, '^\$\.', '') AS setting, tree.value ->> '$' AS value
FROM maker
JOIN settings AS s ON s.settings_id = maker.settings_id,
LATERAL (FROM json_tree(s.content::JSON)) AS tree
WHERE tree.atom IS NOT NULL
ORDER BY maker.name, maker.version, tree.id;
