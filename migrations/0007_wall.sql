-- The second wall between events: the servers' role sees, adds and changes rows of one event only, the one that the
-- setting facepass.event_id names, and none without it. The tables' owner stands above: migrations, backups.
-- The tables of control data, and `event`, which is read across events, hold nobody's data and have no wall.

CREATE FUNCTION wall_off(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY one_event ON %s'
                   ' USING (event_id = nullif(current_setting(''facepass.event_id'', true), '''')::bigint)', relation);
END $$;
REVOKE ALL ON FUNCTION wall_off(regclass) FROM PUBLIC;

SELECT wall_off(name) FROM unnest('{photo, face, tombstone, ingest, suppression}'::regclass[]) AS name;
SELECT wall_off(to_regclass(format('ev_%s.face', relation)))
  FROM relation
 WHERE to_regclass(format('ev_%s.face', relation)) IS NOT NULL;

-- Canaries: rows of no event, for which no setting is ever made. A role that sees one sees past the wall. (The key of an
-- event is above 0, that of a carrier below.)
INSERT INTO photo (event_id, photo_no, photo_id, state, sha256, size_bytes, width, height, file_name, source_uri,
                   attributes, unindexed, rejection_reason, rejection_message, version)
VALUES (0, 0, 'canary', 'REJECTED', '', 0, 0, 0, '', '', '{}', '[]', '', '', 0);
INSERT INTO face VALUES (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}', '[0]');
INSERT INTO tombstone VALUES (0, 0, 0, 'infinity');
INSERT INTO ingest VALUES (0, '00000000-0000-0000-0000-000000000000', 0, 'infinity');
INSERT INTO suppression VALUES (0, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0,
                                'infinity', '[0]');

-- What the servers' role may have done by the owner, now with the wall around each own relation, and only to relations
-- that are in the state for it.

CREATE FUNCTION require_relation(number bigint, wanted text) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relation WHERE relation.relation = number AND state = wanted) THEN
        RAISE EXCEPTION 'relation % is not %', number, wanted USING ERRCODE = 'undefined_table';
    END IF;
END $$;
REVOKE ALL ON FUNCTION require_relation(bigint, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION create_relation(number bigint, dimension integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM require_relation(number, 'BUILDING');
    EXECUTE format('CREATE SCHEMA ev_%s', number);
    EXECUTE format('CREATE TABLE ev_%s.face (LIKE public.face INCLUDING STORAGE)', number);
    EXECUTE format('ALTER TABLE ev_%s.face ALTER COLUMN embedding TYPE halfvec(%s)', number, dimension);
    EXECUTE format('ALTER TABLE ev_%s.face ALTER COLUMN embedding SET STORAGE PLAIN,'
                   ' ALTER COLUMN embedding SET STATISTICS 0, ALTER COLUMN landmarks SET STATISTICS 0', number);
    PERFORM wall_off(format('ev_%s.face', number)::regclass);
END $$;

CREATE OR REPLACE FUNCTION index_relation(number bigint, m integer, ef_construction integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM require_relation(number, 'BUILDING');
    EXECUTE format('ALTER TABLE ev_%s.face ADD PRIMARY KEY (event_id, pack_id, face_no)', number);
    EXECUTE format('CREATE INDEX face_photo ON ev_%s.face (event_id, photo_no)', number);
    EXECUTE format('CREATE INDEX face_embedding ON ev_%s.face USING hnsw (embedding halfvec_ip_ops)'
                   ' WITH (m = %s, ef_construction = %s)', number, m, ef_construction);
    -- Without statistics the planner takes the primary key.
    EXECUTE format('ANALYZE ev_%s.face', number);
END $$;

CREATE OR REPLACE FUNCTION drop_relation(number bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '20ms' AS $$
BEGIN
    PERFORM require_relation(number, 'DROPPING');
    EXECUTE format('DROP TABLE IF EXISTS ev_%s.face', number);
    EXECUTE format('DROP SCHEMA IF EXISTS ev_%s', number);
END $$;

-- `remove_faces` stands above the wall too, which it needs for its carriers: it takes no other event's rows than a
-- statement may.
ALTER FUNCTION remove_faces(bigint, integer, integer, integer[]) RENAME TO remove_faces_of;
REVOKE ALL ON FUNCTION remove_faces_of(bigint, integer, integer, integer[]) FROM PUBLIC;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'facepass_server') THEN
        REVOKE ALL ON FUNCTION remove_faces_of(bigint, integer, integer, integer[]) FROM facepass_server;
    END IF;
END $$;
CREATE FUNCTION remove_faces(key bigint, first integer, past integer, numbers integer[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF key IS DISTINCT FROM nullif(current_setting('facepass.event_id', true), '')::bigint THEN
        RETURN 0;
    END IF;
    RETURN remove_faces_of(key, first, past, numbers);
END $$;
REVOKE ALL ON FUNCTION remove_faces(bigint, integer, integer, integer[]) FROM PUBLIC;

-- The questions across events about rows behind the wall: which events have tombstones to be forgotten, and which have
-- suppressions that have ended; and what servers said of events that ended without taking it back.
CREATE FUNCTION events_with_tombstones(older_than timestamptz) RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT event_id FROM tombstone WHERE delete_time < older_than
$$;
REVOKE ALL ON FUNCTION events_with_tombstones(timestamptz) FROM PUBLIC;

CREATE FUNCTION events_with_ended_suppressions() RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT event_id FROM suppression WHERE until <= now()
$$;
REVOKE ALL ON FUNCTION events_with_ended_suppressions() FROM PUBLIC;

CREATE FUNCTION remove_stray_ingest(age_s double precision) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM ingest WHERE heartbeat < now() - make_interval(secs => age_s)
$$;
REVOKE ALL ON FUNCTION remove_stray_ingest(double precision) FROM PUBLIC;
