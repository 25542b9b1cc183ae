-- Control data: ordinary tables of the main node. No foreign key joins them with event data.

CREATE TABLE pack (
    pack_id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key                  text NOT NULL UNIQUE,     -- name@digest of weights, alignment and normalisation
    engine               text NOT NULL,
    dimension            integer NOT NULL CHECK (dimension > 0),
    min_similarity       real NOT NULL,            -- the pack's calibration when it was first used
    confident_similarity real NOT NULL,
    create_time          timestamptz NOT NULL DEFAULT now()
);
