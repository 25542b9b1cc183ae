-- Erasure: receipts, what Searchers have confirmed, and what of removed templates is still in the files.

-- Control data. One row a deletion, written in its transaction. No template, box, image or name of a photo.
CREATE TABLE erasure (
    erasure_id    uuid PRIMARY KEY,
    kind          text NOT NULL CHECK (kind IN ('PHOTO', 'FACE', 'EVENT', 'PERSON', 'EXPIRY')),
    event_id      bigint NOT NULL,
    event         text NOT NULL,
    uid           uuid NOT NULL,
    subject       text NOT NULL,                   -- who asked; empty where servers ask for no tokens
    photos        bigint NOT NULL,
    faces         bigint NOT NULL,
    digest        bytea NOT NULL,                  -- SHA-256 of the names of what went
    suppress_until timestamptz,
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    relations     bigint[] NOT NULL,               -- the event's own tables at that moment: to be dropped
    wiped_lsn     pg_lsn,                          -- after the last overwritten page
    create_time   timestamptz NOT NULL DEFAULT now(),
    live_time     timestamptz,                     -- no search and no Searcher's memory has it
    physical_time timestamptz,                     -- no file of a table or an index has it
    backup_time   timestamptz                      -- no backup has it, by the configured retention
);
CREATE INDEX erasure_event ON erasure (event_id);
CREATE INDEX erasure_not_live ON erasure (erasure_id) WHERE live_time IS NULL;
CREATE INDEX erasure_not_physical ON erasure (event_id) WHERE physical_time IS NULL;

-- Control data. The Searchers that may hold templates in memory: those whose heartbeat is fresh.
CREATE TABLE searcher (
    searcher_id uuid PRIMARY KEY,
    heartbeat   timestamptz NOT NULL DEFAULT now()
);

-- Control data. Which Searcher holds nothing any more of which erasure.
CREATE TABLE forgotten (
    erasure_id  uuid NOT NULL,
    searcher_id uuid NOT NULL,
    PRIMARY KEY (erasure_id, searcher_id)
);

-- Event data. A template that later photos are compared with, only where a caller asked for it.
CREATE TABLE suppression (
    event_id       bigint NOT NULL,
    suppression_id uuid NOT NULL,
    uid            uuid NOT NULL,
    min_similarity real NOT NULL,
    until          timestamptz NOT NULL,
    embedding      halfvec STORAGE PLAIN NOT NULL,
    PRIMARY KEY (event_id, suppression_id)
);

-- What Postgres has removed it has not overwritten: the space that a row leaves in its page keeps the row's bytes. These
-- are the pages of `face` (and, as block -1, all of `suppression`) with such space. VACUUM FULL gives a table another
-- filenode, and with it clean pages.
CREATE TABLE residue (
    filenode oid NOT NULL,
    block    bigint NOT NULL,
    since    xid8 NOT NULL DEFAULT pg_current_xact_id(), -- of the first removal
    xid      xid8 NOT NULL DEFAULT pg_current_xact_id(), -- of the last
    PRIMARY KEY (filenode, block)
);

-- Templates never get into the last twentieth of a page: a carrier (below) finds room there, and what it cannot
-- overwrite there is clean.
ALTER TABLE face SET (fillfactor = 95);
CREATE SEQUENCE carrier_number;

-- Removes rows of an event from `face`: those numbered from `first` to before `past`, and of these only `numbers` unless
-- NULL. The event's row must be locked. In each page one of them is not deleted but made a carrier: a row of no event
-- (negative event_id) with which `wipe_pages` can write into that very page.
CREATE FUNCTION remove_faces(key bigint, first integer, past integer, numbers integer[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    places   tid[];
    carriers tid[];
BEGIN
    IF numbers IS NULL THEN
        SELECT array_agg(f.ctid ORDER BY f.ctid) INTO places FROM face f
         WHERE f.event_id = key AND f.face_no >= first AND f.face_no < past;
    ELSE
        SELECT array_agg(f.ctid ORDER BY f.ctid) INTO places
          FROM unnest(numbers) AS wanted (face_no)
         CROSS JOIN LATERAL (SELECT f.ctid FROM face f
                              WHERE f.event_id = key AND f.face_no = wanted.face_no OFFSET 0) f
         WHERE wanted.face_no >= first AND wanted.face_no < past;
    END IF;
    IF places IS NULL THEN
        RETURN 0;
    END IF;
    WITH pages AS (
        SELECT (place::text::point)[0]::bigint AS block, min(place) AS place
          FROM unnest(places) AS place GROUP BY 1 ORDER BY 1
    ), marked AS (
        INSERT INTO residue AS r (filenode, block)
        SELECT pg_relation_filenode('face'), block FROM pages
        ON CONFLICT (filenode, block) DO UPDATE SET xid = pg_current_xact_id()
        RETURNING r.block, r.since = pg_current_xact_id() AND r.xmax = 0 AS fresh
    )
    -- A page that is marked already has its carrier.
    SELECT coalesce(array_agg(p.place), '{}') INTO carriers FROM pages p JOIN marked m USING (block) WHERE m.fresh;
    DELETE FROM face WHERE ctid = ANY (ARRAY(SELECT unnest(places) EXCEPT SELECT unnest(carriers)));
    UPDATE face
       SET event_id = -nextval('carrier_number'), pack_id = 0, face_no = 0, photo_no = 0, version = 0, x = 0, y = 0,
           width = 0, height = 0, detection_score = 0, quality_score = 0, sharpness = 0, brightness = 0, yaw = 0,
           pitch = 0, roll = 0, landmarks = '{}', embedding = '[0]'
     WHERE ctid = ANY (carriers);
    RETURN cardinality(places);
END $$;

-- Overwrites the free space of pages that were vacuumed since their last removal, `xids` and `blocks` side by side, and
-- removes their carriers. Versions of the carrier are written one below the other until the page has no room for a
-- further one: what is left then is less than what `fillfactor` keeps free of templates. Returns the pages done.
CREATE FUNCTION wipe_pages(blocks bigint[], xids xid8[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    page    record;
    carrier tid;
    done    bigint := 0;
BEGIN
    FOR page IN
        SELECT r.filenode, r.block
          FROM residue r JOIN unnest(blocks, xids) AS wanted (block, xid) USING (block, xid)
         WHERE r.filenode = pg_relation_filenode('face')
         ORDER BY r.block
           FOR UPDATE OF r SKIP LOCKED
    LOOP
        SELECT ctid INTO carrier FROM face
         WHERE ctid >= format('(%s,0)', page.block)::tid AND ctid < format('(%s,0)', page.block + 1)::tid
           AND event_id < 0
         LIMIT 1;
        IF carrier IS NULL AND page.block < pg_relation_size('face') / current_setting('block_size')::bigint THEN
            CONTINUE;
        END IF;
        WHILE carrier IS NOT NULL AND (carrier::text::point)[0] = page.block LOOP
            -- 320 bytes and what any row has beside: less than a twentieth of a page.
            UPDATE face SET landmarks = array_fill(0::real, ARRAY[48]) WHERE ctid = carrier RETURNING ctid INTO carrier;
        END LOOP;
        DELETE FROM face WHERE ctid = carrier;
        DELETE FROM residue r WHERE r.filenode = page.filenode AND r.block = page.block;
        done := done + 1;
    END LOOP;
    RETURN done;
END $$;

REVOKE ALL ON FUNCTION remove_faces(bigint, integer, integer, integer[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION wipe_pages(bigint[], xid8[]) FROM PUBLIC;

CREATE INDEX event_expire_time ON event (expire_time) WHERE expire_time IS NOT NULL;

-- ANALYZE keeps the commonest values of a column in Postgres' own tables: not of templates and landmarks.
ALTER TABLE face ALTER COLUMN embedding SET STATISTICS 0, ALTER COLUMN landmarks SET STATISTICS 0;
ALTER TABLE suppression ALTER COLUMN embedding SET STATISTICS 0;

-- As before, and without those statistics.
CREATE OR REPLACE FUNCTION create_relation(number bigint, dimension integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA ev_%s', number);
    EXECUTE format('CREATE TABLE ev_%s.face (LIKE public.face INCLUDING STORAGE)', number);
    EXECUTE format('ALTER TABLE ev_%s.face ALTER COLUMN embedding TYPE halfvec(%s)', number, dimension);
    EXECUTE format('ALTER TABLE ev_%s.face ALTER COLUMN embedding SET STORAGE PLAIN,'
                   ' ALTER COLUMN embedding SET STATISTICS 0, ALTER COLUMN landmarks SET STATISTICS 0', number);
END $$;
