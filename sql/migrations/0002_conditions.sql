-- Under which conditions the bytes of a materialisation came out: threads, processor, platform, and the settings that can
-- move last digits and stand in no version. A conditions_id is the hash of its rows; it is NULL for what was recorded
-- before.

CREATE TABLE conditions (
    conditions_id VARCHAR NOT NULL,
    condition     VARCHAR NOT NULL,
    value         VARCHAR NOT NULL
);

ALTER TABLE events ADD COLUMN conditions_id VARCHAR;
