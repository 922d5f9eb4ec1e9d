-- The texts of a target, and labelled ones: no candidates, but a removal request may name them just as well.

CREATE TABLE examples (
    artifact_key   INTEGER NOT NULL,
    occurrence_key INTEGER NOT NULL
);
