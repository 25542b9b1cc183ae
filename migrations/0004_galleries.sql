-- Own relations of large events, tombstones of deleted faces, and the operations that build relations.

ALTER TABLE pack
    ADD COLUMN impostor_mean real NOT NULL DEFAULT 0, -- similarities of strangers, by the pack's calibration
    ADD COLUMN impostor_sd   real NOT NULL DEFAULT 0.07;
UPDATE pack
   SET impostor_mean = CASE WHEN engine = 'starter' THEN 0.17
                            WHEN engine = 'fake' OR dimension >= 256 THEN 0
                            ELSE 0.01 END,
       impostor_sd = CASE WHEN engine = 'starter' THEN 0.145
                          WHEN engine = 'fake' THEN 1 / sqrt(dimension)
                          WHEN dimension < 256 THEN 0.12
                          ELSE 0.07 END;
ALTER TABLE pack ALTER COLUMN impostor_mean DROP DEFAULT, ALTER COLUMN impostor_sd DROP DEFAULT;

-- Faces below relation_mark are those of ev_<relation>.face, the others those of the shared table. Rows of an event that
-- stand in the shared table below its mark are copies that are being removed: nobody may count them.
ALTER TABLE event
    ADD COLUMN face_time       timestamptz NOT NULL DEFAULT now(), -- last change of the event's faces
    ADD COLUMN tombstone_floor bigint NOT NULL DEFAULT 0,          -- tombstones up to this version are gone
    ADD COLUMN relation        bigint,                             -- NULL: all faces are in the shared table
    ADD COLUMN relation_mark   integer NOT NULL DEFAULT 0,
    ADD COLUMN relation_faces  integer NOT NULL DEFAULT 0,         -- when it was built
    ADD COLUMN relation_bytes  bigint NOT NULL DEFAULT 0,          -- table and index, when it was built
    ADD COLUMN relation_ef     integer NOT NULL DEFAULT 0,         -- hnsw.ef_search of its searches
    ADD COLUMN relation_recall real,                               -- as last measured against the exact scan
    ADD COLUMN relation_time   timestamptz;                        -- when it was built

-- Event data. What a Searcher that knows an older version must forget. No biometrics.
CREATE TABLE tombstone (
    event_id    bigint NOT NULL,
    version     bigint NOT NULL,                   -- of the commit that deleted it
    face_no     integer NOT NULL,
    delete_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, version, face_no)
);

-- Control data. Every schema ev_<relation> that exists or is being made has its row here, so that none is forgotten.
CREATE SEQUENCE relation_number;
CREATE TABLE relation (
    relation    bigint PRIMARY KEY DEFAULT nextval('relation_number'),
    event_id    bigint NOT NULL,
    uid         uuid NOT NULL,                     -- of that very event
    -- CLEANING: searched, while copies of its rows may still stand in the shared table.
    state       text NOT NULL CHECK (state IN ('BUILDING', 'CLEANING', 'SERVING', 'DROPPING')),
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX relation_event ON relation (event_id);

-- Control data. Long work, and its queue.
CREATE TABLE operation (
    operation_id  uuid PRIMARY KEY,
    event_id      bigint NOT NULL,
    event         text NOT NULL,
    uid           uuid NOT NULL,
    phase         text NOT NULL DEFAULT 'QUEUED',
    done          boolean NOT NULL DEFAULT false,
    faces_done    bigint NOT NULL DEFAULT 0,       -- of the phase
    faces_total   bigint NOT NULL DEFAULT 0,
    claimed_by    uuid,                            -- the server that works on it, as long as the heartbeat is fresh
    heartbeat     timestamptz,
    strategy      text NOT NULL DEFAULT '',        -- what came of it
    error_reason  text NOT NULL DEFAULT '',
    error_message text NOT NULL DEFAULT '',
    create_time   timestamptz NOT NULL DEFAULT now(),
    end_time      timestamptz
);
CREATE UNIQUE INDEX operation_open ON operation (event_id) WHERE NOT done;
CREATE INDEX operation_end_time ON operation (end_time) WHERE done;

-- The servers' role owns nothing: these few statements are all the DDL that it can run.

CREATE FUNCTION create_relation(number bigint, dimension integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA ev_%s', number);
    EXECUTE format('CREATE TABLE ev_%s.face (LIKE public.face INCLUDING STORAGE)', number);
    EXECUTE format('ALTER TABLE ev_%s.face ALTER COLUMN embedding TYPE halfvec(%s)', number, dimension);
    EXECUTE format('ALTER TABLE ev_%s.face ALTER COLUMN embedding SET STORAGE PLAIN', number);
END $$;

-- Keys, graph and statistics of a filled table that nobody else uses yet.
CREATE FUNCTION index_relation(number bigint, m integer, ef_construction integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE ev_%s.face ADD PRIMARY KEY (event_id, pack_id, face_no)', number);
    EXECUTE format('CREATE INDEX face_photo ON ev_%s.face (event_id, photo_no)', number);
    EXECUTE format('CREATE INDEX face_embedding ON ev_%s.face USING hnsw (embedding halfvec_ip_ops)'
                   ' WITH (m = %s, ef_construction = %s)', number, m, ef_construction);
    -- Without statistics the planner takes the primary key.
    EXECUTE format('ANALYZE ev_%s.face', number);
END $$;

-- Gives up after 20 ms rather than make the event's searches wait behind a long transaction: lock_not_available.
CREATE FUNCTION drop_relation(number bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '20ms' AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS ev_%s.face', number);
    EXECUTE format('DROP SCHEMA IF EXISTS ev_%s', number);
END $$;

REVOKE ALL ON FUNCTION create_relation(bigint, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION index_relation(bigint, integer, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_relation(bigint) FROM PUBLIC;
