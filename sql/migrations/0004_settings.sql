-- The whole settings that a materialisation was made with, without secrets, as JSON. A settings_id is the hash of them; it
-- is NULL for what was recorded before.

CREATE TABLE settings (
    settings_id VARCHAR NOT NULL,
    content     VARCHAR NOT NULL
);

ALTER TABLE events ADD COLUMN settings_id VARCHAR;
