-- Event data may be distributed over several databases by Citus (docs/scaling.md). What is done otherwise there stands
-- here, so that the servers need not know. On plain Postgres nothing changes.

CREATE FUNCTION is_distributed() RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NULL THEN
        RETURN false;
    END IF;
    RETURN EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'public.face'::regclass);
END $$;

-- Control data, and empty. A transaction that touches this table, which Citus is told of, is committed by two phases: what
-- it changed of control data and what it changed of an event on another node come together or not at all.
CREATE TABLE two_phase (nothing integer);

CREATE FUNCTION commit_together() RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF is_distributed() THEN
        DELETE FROM two_phase;
    END IF;
END $$;

-- Control data. Shards of `face` and `suppression` from which templates were removed since their files were last written
-- anew. Pages cannot be overwritten there one by one (0019): removed rows are other nodes' business.
CREATE TABLE shard_residue (
    shard bigint PRIMARY KEY,
    since xid8 NOT NULL DEFAULT pg_current_xact_id(),        -- of the first removal
    xid   xid8 NOT NULL DEFAULT pg_current_xact_id(),        -- of the last
    time  timestamptz NOT NULL DEFAULT clock_timestamp()     -- of the last
);

-- Whether files of shards that were moved or split are still to be removed somewhere.
CREATE FUNCTION is_moving() RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_cleanup') IS NULL THEN
        RETURN false;
    END IF;
    RETURN EXISTS (SELECT FROM pg_dist_cleanup);
END $$;

CREATE FUNCTION mark_shard(relation regclass, key bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM commit_together();
    INSERT INTO shard_residue (shard) VALUES (get_shard_id_for_distribution_column(relation, key))
    ON CONFLICT (shard) DO UPDATE SET xid = excluded.xid, time = excluded.time;
END $$;

-- As before; of distributed rows by whoever calls, for a role's statements do not see what another's in the same
-- transaction have changed on another node.
ALTER FUNCTION remove_faces(bigint, integer, integer, integer[]) RENAME TO remove_faces_here;
CREATE FUNCTION remove_faces(key bigint, first integer, past integer, numbers integer[]) RETURNS bigint
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    IF NOT is_distributed() THEN
        RETURN remove_faces_here(key, first, past, numbers);
    END IF;
    IF numbers IS NULL THEN
        DELETE FROM face WHERE event_id = key AND face_no >= first AND face_no < past;
    ELSE
        DELETE FROM face WHERE event_id = key AND face_no >= first AND face_no < past AND face_no = ANY (numbers);
    END IF;
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed > 0 THEN
        PERFORM mark_shard('face', key);
    END IF;
    RETURN removed;
END $$;

-- Removes suppressions of an event, all or those that have ended.
CREATE FUNCTION remove_suppressions(key bigint, only_ended boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM suppression WHERE event_id = key AND (NOT only_ended OR until <= now());
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF is_distributed() THEN
        PERFORM mark_shard('suppression', key);
    ELSE
        INSERT INTO residue (filenode, block) VALUES (pg_relation_filenode('suppression'), -1)
        ON CONFLICT (filenode, block) DO UPDATE SET xid = pg_current_xact_id();
    END IF;
END $$;

-- As before; where event data is distributed, the schema goes to some node as a whole.
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
    IF is_distributed() THEN
        PERFORM citus_schema_distribute(format('ev_%s', number)::regnamespace);
    END IF;
END $$;

-- Bytes of an own relation and its indexes.
CREATE FUNCTION relation_bytes(number bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF is_distributed() THEN
        RETURN citus_total_relation_size(format('ev_%s.face', number)::regclass);
    END IF;
    RETURN pg_total_relation_size(format('ev_%s.face', number)::regclass);
END $$;

-- As before, in a language whose statements may be sent to other nodes with their parameters.
CREATE OR REPLACE FUNCTION events_with_tombstones(older_than timestamptz) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT event_id FROM tombstone WHERE delete_time < older_than;
END $$;

CREATE OR REPLACE FUNCTION events_with_ended_suppressions() RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT event_id FROM suppression WHERE until <= now();
END $$;

CREATE OR REPLACE FUNCTION remove_stray_ingest(age_s double precision) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before timestamptz := now() - make_interval(secs => age_s);
BEGIN
    DELETE FROM ingest WHERE heartbeat < before;
END $$;
