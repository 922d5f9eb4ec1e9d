-- What was made, when, by which run, out of what; and for documents, where they came from and where they went.
-- Times are UTC. Integer keys are private to one database; names, versions and doc_ids are what the outside knows.

CREATE TABLE schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       VARCHAR   NOT NULL,
    applied_at TIMESTAMP NOT NULL
);

-- One row per version of an asset's partition. `name` is 'asset' or 'asset[partition]', as inputs name it.
CREATE TABLE artifacts (
    artifact_key INTEGER PRIMARY KEY,
    asset        VARCHAR NOT NULL,
    partition    VARCHAR,
    name         VARCHAR NOT NULL,
    version      VARCHAR NOT NULL,
    code_version VARCHAR NOT NULL,
    parameters   JSON    NOT NULL,
    summary      JSON    NOT NULL,
    path         VARCHAR,
    UNIQUE (name, version)
);

-- One row per materialisation, also when the artifact was there already and was used again.
CREATE TABLE events (
    event_key      VARCHAR PRIMARY KEY,
    artifact_key   INTEGER   NOT NULL,
    created_at     TIMESTAMP NOT NULL,
    recorded_at    TIMESTAMP NOT NULL,
    run_id         VARCHAR,
    step           VARCHAR,
    reused         BOOLEAN   NOT NULL,
    environment_id VARCHAR,
    files_differ   BOOLEAN   NOT NULL  -- made again, and the bytes are not those recorded before
);

-- Versions of the installed packages; an environment_id is the hash of its rows.
CREATE TABLE packages (
    environment_id  VARCHAR NOT NULL,
    package         VARCHAR NOT NULL,
    package_version VARCHAR NOT NULL
);

-- What an artifact was made of. The input may be a thing this database does not know (a hub model, say).
CREATE TABLE edges (
    artifact_key  INTEGER NOT NULL,
    input_name    VARCHAR NOT NULL,
    input_version VARCHAR NOT NULL,
    PRIMARY KEY (artifact_key, input_name)
);

-- The files of an artifact. When it was made again with other bytes, both are kept: `event_key` tells them apart.
CREATE TABLE files (
    artifact_key INTEGER NOT NULL,
    event_key    VARCHAR NOT NULL,
    file         VARCHAR NOT NULL,
    size         BIGINT  NOT NULL,
    sha256       VARCHAR NOT NULL
);

-- The user's own files that an artifact was read from.
CREATE TABLE source_files (
    artifact_key INTEGER NOT NULL,
    path         VARCHAR NOT NULL,
    size         BIGINT  NOT NULL,
    sha256       VARCHAR NOT NULL
);

-- A pre-fine-tuning run as MLflow knows it. An artifact trained twice has two.
CREATE TABLE trainings (
    artifact_key      INTEGER NOT NULL,
    mlflow_run_id     VARCHAR NOT NULL,
    tracking_uri      VARCHAR,
    selection_version VARCHAR,
    base_model        VARCHAR,
    seed              BIGINT,
    PRIMARY KEY (artifact_key, mlflow_run_id)
);

-- Which kinds of document rows an artifact brought along, and how many: 'documents', 'members', 'scores', 'exclusions'.
CREATE TABLE contents (
    artifact_key INTEGER NOT NULL,
    content      VARCHAR NOT NULL,
    row_count    BIGINT  NOT NULL,
    PRIMARY KEY (artifact_key, content)
);

-- Every doc_id ever seen, as a small integer: 4 bytes instead of 16 wherever a document is mentioned. The tables of
-- documents carry no index: they are written in order of their integers, so row groups are skipped by their bounds,
-- and nothing slows down a million insertions. Writers are alone in the database, which keeps the numbers unique.
CREATE TABLE documents (
    document_key INTEGER NOT NULL,
    doc_id       UUID    NOT NULL
);

-- Where a document stands: the same text may stand in several sources.
CREATE TABLE occurrences (
    occurrence_key INTEGER NOT NULL,
    document_key   INTEGER NOT NULL,
    source         VARCHAR NOT NULL,
    origin         VARCHAR NOT NULL
);

-- The candidates in a version of a pool.
CREATE TABLE candidates (
    artifact_key   INTEGER NOT NULL,
    occurrence_key INTEGER NOT NULL
);

-- The documents of a selection. `selection_rank` counts from 1, the document selected first.
CREATE TABLE members (
    artifact_key   INTEGER NOT NULL,
    occurrence_key INTEGER NOT NULL,
    document_key   INTEGER NOT NULL,
    selection_rank INTEGER NOT NULL,
    score          DOUBLE
);

-- A selection as a whole: how many documents, and the score of the last one in.
CREATE TABLE selections (
    artifact_key INTEGER PRIMARY KEY,
    budget       INTEGER NOT NULL,
    cut_score    DOUBLE
);

-- The score of every candidate, selected or not: in single precision, with `position` (from 1, best first, ties by
-- doc_id) from the precision it was computed in.
CREATE TABLE scores (
    artifact_key INTEGER NOT NULL,
    document_key INTEGER NOT NULL,
    score        FLOAT   NOT NULL,
    position     INTEGER NOT NULL
);

-- Documents that a station left out on purpose, and why; `matched_doc_id` is the text it repeats, if that is why.
CREATE TABLE exclusions (
    artifact_key   INTEGER NOT NULL,
    document_key   INTEGER NOT NULL,
    reason         VARCHAR NOT NULL,
    matched_doc_id UUID
);

-- Tombstones: documents that must not be part of anything built from now on.
CREATE TABLE forgotten (
    doc_id       UUID      NOT NULL PRIMARY KEY,
    forgotten_at TIMESTAMP NOT NULL,
    reason       VARCHAR   NOT NULL
);

-- Which audits this database has as table macros; `definition` is the hash of their text.
CREATE TABLE audits (
    audit       VARCHAR PRIMARY KEY,
    title       VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    example     VARCHAR NOT NULL,
    definition  VARCHAR NOT NULL
);

-- doc_ids are 32 hex digits to the outside.
CREATE MACRO hex_id(id) AS replace(id::VARCHAR, '-', '');

-- First and last doc_id that begin with `prefix`.
CREATE MACRO checked_prefix(prefix) AS
    CASE WHEN regexp_full_match(replace(prefix::VARCHAR, '-', ''), '[0-9a-fA-F]{8,32}')
         THEN replace(prefix::VARCHAR, '-', '')
         ELSE error('not a doc_id: ' || prefix::VARCHAR || '; give its first 8 or more hex digits, up to all 32')
    END;
CREATE MACRO first_id(prefix) AS rpad(checked_prefix(prefix), 32, '0')::UUID;
CREATE MACRO last_id(prefix) AS rpad(checked_prefix(prefix), 32, 'f')::UUID;

-- Every artifact with everything it was made of, directly or through others, and with itself.
CREATE VIEW ancestry AS
WITH RECURSIVE ancestry AS (
    SELECT artifact_key, artifact_key AS ancestor_key FROM artifacts
    UNION
    SELECT ancestry.artifact_key, input.artifact_key
    FROM ancestry
    JOIN edges ON edges.artifact_key = ancestry.ancestor_key
    JOIN artifacts AS input ON input.name = edges.input_name AND input.version = edges.input_version
)
SELECT artifact_key, ancestor_key FROM ancestry;

-- When each artifact was first made and last used, and by which Dagster runs.
CREATE VIEW made AS
SELECT artifact_key, coalesce(min(created_at) FILTER (NOT reused), min(created_at)) AS made_at,
       max(created_at) AS last_used_at, string_agg(DISTINCT run_id, ', ' ORDER BY run_id) AS run_ids
FROM events
GROUP BY artifact_key;

-- The MLflow runs that trained each model.
CREATE VIEW trained AS
SELECT artifact_key, string_agg(mlflow_run_id, ', ' ORDER BY mlflow_run_id) AS mlflow_run_ids
FROM trainings
GROUP BY artifact_key;
