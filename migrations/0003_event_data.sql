-- Event data: every table is keyed by event_id (63 bits of SHA-256 of the event's name), so that it can be
-- distributed by it. No uniqueness across events, no triggers, no foreign keys.

CREATE TABLE event (
    event_id        bigint PRIMARY KEY,
    name            text NOT NULL,                 -- the caller's id
    uid             uuid NOT NULL,                 -- new each time a name is created again
    display_name    text NOT NULL,
    location        text NOT NULL,
    start_time      timestamptz,
    expire_time     timestamptz,
    quality_filter  text NOT NULL,
    detail          text NOT NULL,
    min_similarity  real,
    pack_id         integer,                       -- NULL until the first photo
    request_id      uuid,
    request_digest  bytea,
    revision        integer NOT NULL DEFAULT 1,    -- of the event's own fields
    version         bigint NOT NULL DEFAULT 0,     -- of its faces: each commit that changes them takes the next
    next_photo_no   integer NOT NULL DEFAULT 1,
    next_face_no    integer NOT NULL DEFAULT 1,
    photos_indexed  integer NOT NULL DEFAULT 0,
    photos_rejected integer NOT NULL DEFAULT 0,
    faces           integer NOT NULL DEFAULT 0,
    create_time     timestamptz NOT NULL DEFAULT now(),
    update_time     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);                          -- updated by every commit: keep the updates in the page
CREATE INDEX event_name ON event (name);
CREATE INDEX event_uid ON event (uid);

CREATE TABLE photo (
    event_id          bigint NOT NULL,
    photo_no          integer NOT NULL,            -- number within the event, in commit order
    photo_id          text NOT NULL,               -- the caller's id
    state             text NOT NULL CHECK (state IN ('INDEXED', 'REJECTED')),
    sha256            bytea NOT NULL,
    size_bytes        bigint NOT NULL,
    width             integer NOT NULL,
    height            integer NOT NULL,
    file_name         text NOT NULL,
    source_uri        text NOT NULL,
    capture_time      timestamptz,
    attributes        jsonb NOT NULL,
    unindexed         jsonb NOT NULL,              -- faces seen but not indexed, with reasons; no templates
    rejection_reason  text NOT NULL,
    rejection_message text NOT NULL,
    version           bigint NOT NULL,             -- the event's version when it was committed
    index_time        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, photo_no),
    UNIQUE (event_id, photo_id)
);

-- All variable-length columns are PLAIN: the row stays in its page and no TOAST table is made.
CREATE TABLE face (
    event_id        bigint NOT NULL,
    pack_id         integer NOT NULL,
    face_no         integer NOT NULL,              -- number within the event
    photo_no        integer NOT NULL,
    version         bigint NOT NULL,               -- the event's version when it was committed
    x               real NOT NULL,
    y               real NOT NULL,
    width           real NOT NULL,
    height          real NOT NULL,
    detection_score real NOT NULL,
    quality_score   real NOT NULL,
    sharpness       real NOT NULL,
    brightness      real NOT NULL,
    yaw             real NOT NULL,
    pitch           real NOT NULL,
    roll            real NOT NULL,
    landmarks       real[] STORAGE PLAIN NOT NULL, -- 5 x (x, y); NaN where the engine locates none
    embedding       halfvec STORAGE PLAIN NOT NULL,
    PRIMARY KEY (event_id, pack_id, face_no)       -- one pack's templates of one event lie side by side
);
CREATE INDEX face_photo ON face (event_id, photo_no);

-- Photos that servers are working on, so that a search can say that it is not the whole answer yet.
CREATE TABLE ingest (
    event_id  bigint NOT NULL,
    server_id uuid NOT NULL,
    pending   integer NOT NULL,
    heartbeat timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, server_id)
);
