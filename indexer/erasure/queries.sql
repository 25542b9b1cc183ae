-- Queries of erasures. Receipts, Searchers and residue are control data.

-- insert_erasure --
-- $1 erasure_id, $2 kind, $3 event_id, $4 event, $5 uid, $6 subject, $7 photos, $8 faces, $9 digest, $10 suppress_until,
-- $11 numbers of photos, $12 numbers of faces, $13 create_time or NULL for now.
-- Of a locked event, whose own tables are those that there are now.
INSERT INTO erasure (erasure_id, kind, event_id, event, uid, subject, photos, faces, digest, suppress_until,
                     photo_numbers, face_numbers, create_time, relations)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, coalesce($13, now()),
       coalesce((SELECT array_agg(r.relation) FROM relation r WHERE r.event_id = $3 AND r.uid = $5), '{}');

-- commit_together --
-- Once in a transaction that changes control data and an event's rows.
SELECT commit_together();

-- erasure --
-- $1 erasure_id.
SELECT * FROM erasure WHERE erasure_id = $1;

-- list_erasures --
-- $1 event_id or NULL for all, $2 create_time and $3 erasure_id of the last one before the page or NULL, $4 limit, $5 names
-- of events, or beginnings that end in *.
SELECT * FROM erasure
 WHERE ($1::bigint IS NULL OR event_id = $1)
   AND ($2::timestamptz IS NULL OR (create_time, erasure_id) < ($2, $3::uuid))
   AND event LIKE ANY (ARRAY(SELECT replace(pattern, '*', '%') FROM unnest($5::text[]) AS pattern))
 ORDER BY create_time DESC, erasure_id DESC
 LIMIT $4;

-- settle --
-- $1 erasure_id or NULL for all, $2 seconds without a heartbeat after which a Searcher has emptied its memory. Those that
-- no Searcher holds anything of.
UPDATE erasure e
   SET live_time = clock_timestamp()
 WHERE e.live_time IS NULL AND ($1::uuid IS NULL OR e.erasure_id = $1)
   AND NOT EXISTS (SELECT FROM searcher s
                    WHERE s.heartbeat > clock_timestamp() - make_interval(secs => $2)
                      AND NOT EXISTS (SELECT FROM forgotten f
                                       WHERE f.erasure_id = e.erasure_id AND f.searcher_id = s.searcher_id))
RETURNING e.erasure_id;

-- is_live --
-- $1 erasure_id.
SELECT live_time IS NOT NULL FROM erasure WHERE erasure_id = $1;

-- not_journaled --
-- $1 erasure_id or NULL for all, $2 limit. Of none that another server writes to its journal now.
SELECT * FROM erasure
 WHERE journal_time IS NULL AND ($1::uuid IS NULL OR erasure_id = $1)
 ORDER BY create_time LIMIT $2 FOR UPDATE;

-- mark_journaled --
-- $1 erasure_ids.
UPDATE erasure SET journal_time = now() WHERE erasure_id = ANY ($1::uuid[]);

-- hold_event --
-- $1 event_id, $2 uid. That very event, expired or not.
SELECT * FROM event WHERE event_id = $1 AND uid = $2 FOR UPDATE;

-- photo_states --
-- $1 event_id, $2 photo numbers. Those that are there.
SELECT photo_no, state FROM photo WHERE event_id = $1 AND photo_no = ANY ($2::int[]);

-- delete_photos --
-- $1 event_id, $2 photo numbers.
DELETE FROM photo WHERE event_id = $1 AND photo_no = ANY ($2::int[]);

-- skip_numbers --
-- $1 event_id, $2 photo number, $3 face number: the first that may be given to what comes.
UPDATE event SET next_photo_no = greatest(next_photo_no, $2), next_face_no = greatest(next_face_no, $3)
 WHERE event_id = $1;

-- forget_confirmations --
-- $1 erasure_ids that are live.
DELETE FROM forgotten WHERE erasure_id = ANY ($1::uuid[]);

-- forget_searchers --
-- $1 seconds without a heartbeat.
DELETE FROM searcher WHERE heartbeat < now() - make_interval(secs => $1);

-- may_vacuum --
-- Before Postgres 17 only the owner may.
SELECT CASE WHEN current_setting('server_version_num')::int >= 170000
            THEN has_table_privilege('face', 'MAINTAIN') AND has_table_privilege('suppression', 'MAINTAIN')
            ELSE pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'face'::regclass), 'USAGE') END;

-- forget_rewritten --
-- Pages of a table's former file, and shards where there are none any more.
WITH shards AS (DELETE FROM shard_residue WHERE NOT is_distributed() AND NOT is_moving())
DELETE FROM residue
 WHERE filenode NOT IN (pg_relation_filenode('face'), pg_relation_filenode('suppression'));

-- ready_pages --
-- $1 table, $2 limit. Pages whose last removal nobody can see undone any more, so that a VACUUM clears what it left.
SELECT block, xid FROM residue
 WHERE filenode = pg_relation_filenode($1::text::regclass)
   AND age(xid::xid) > (SELECT coalesce(max(held), 0)
                          FROM (SELECT greatest(age(backend_xmin), age(backend_xid)) AS held FROM pg_stat_activity
                                UNION ALL SELECT age(xmin) FROM pg_replication_slots
                                UNION ALL SELECT age(transaction) FROM pg_prepared_xacts) AS holders)
 ORDER BY block
 LIMIT $2;

-- vacuum_faces --
-- FREEZE makes it wait for pages that somebody is looking at, rather than pass them over.
VACUUM (FREEZE) face;

-- wipe_pages --
-- $1 blocks, $2 xids.
SELECT wipe_pages($1, $2);

-- forget_moved --
-- Shards that were split: what is live of them has new files, and the old ones are gone.
DELETE FROM shard_residue
 WHERE NOT is_moving() AND shard NOT IN (SELECT shardid FROM pg_dist_shard);

-- ready_shards --
-- As ready_pages. With where each shard is, what writes its files anew there, and what to ask before.
SELECT r.shard, r.xid, n.nodename, n.nodeport, format('VACUUM (FULL) %s', shard_name(s.logicalrelid, s.shardid)) AS rewrite,
       format($$SELECT count(*) FROM (SELECT xact_start AS began FROM pg_stat_activity WHERE backend_xmin IS NOT NULL
                                      UNION ALL SELECT prepared FROM pg_prepared_xacts) AS holders
                 WHERE began < %L$$, r.time) AS held
  FROM shard_residue r
  JOIN pg_dist_shard s ON s.shardid = r.shard
  JOIN pg_dist_placement p ON p.shardid = r.shard
  JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
 WHERE NOT is_moving()
   AND age(r.xid::xid) > (SELECT coalesce(max(greatest(age(backend_xmin), age(backend_xid))), 0) FROM pg_stat_activity)
 ORDER BY r.time;

-- run_on_node --
-- $1 name and $2 port of a node, $3 what is to be run there, by itself.
SELECT success, result FROM master_run_on_worker(ARRAY[$1::text], ARRAY[$2::int], ARRAY[$3::text], false);

-- forget_shard --
-- $1 shard, $2 xid. Unless more was removed since.
DELETE FROM shard_residue WHERE shard = $1 AND xid = $2;

-- rewrite_suppressions --
-- A handful of rows.
VACUUM (FULL) suppression;

-- lift_timeout --
-- For VACUUM, which no transaction can hold.
SET statement_timeout = 0;

-- restore_timeout --
RESET statement_timeout;

-- residue_counts --
SELECT (SELECT count(*) FROM residue) + (SELECT count(*) FROM shard_residue) AS pages,
       coalesce((SELECT extract(epoch FROM now() - min(create_time)) FROM erasure
                  WHERE physical_time IS NULL), 0)::float8 AS age_s;

-- mark_wiped --
-- Erasures of which no page is left and whose own tables are dropped.
UPDATE erasure e
   SET wiped_lsn = pg_current_wal_insert_lsn()
 WHERE e.physical_time IS NULL AND e.wiped_lsn IS NULL
   AND NOT EXISTS (SELECT FROM residue r WHERE r.since <= e.xid)
   AND NOT EXISTS (SELECT FROM shard_residue r WHERE r.since <= e.xid) AND NOT is_moving()
   AND NOT EXISTS (SELECT FROM relation r WHERE r.relation = ANY (e.relations))
RETURNING e.erasure_id;

-- to_disk_on_nodes --
-- As the two below, on every node.
SELECT bool_and(success) FROM unnest('{SELECT pg_switch_wal(), CHECKPOINT}'::text[]) AS command,
       run_command_on_all_nodes(command);

-- switch_wal --
-- So that the file of the log that holds what was removed is not gone on with.
SELECT pg_switch_wal();

-- checkpoint --
CHECKPOINT;

-- mark_physical --
-- $1 days that backups are kept. What was wiped before a checkpoint began is on the disk.
UPDATE erasure
   SET physical_time = now(), backup_time = now() + make_interval(days => $1)
 WHERE physical_time IS NULL AND wiped_lsn < (SELECT redo_lsn FROM pg_control_checkpoint())
RETURNING kind, faces, extract(epoch FROM now() - create_time)::float8 AS seconds;

-- expired_events --
-- Those that expired first.
SELECT name FROM event WHERE expire_time <= now() ORDER BY expire_time LIMIT 20;

-- hold_expired_event --
-- $1 event_id. None where another server is at it.
SELECT * FROM event WHERE event_id = $1 AND expire_time <= now() FOR UPDATE SKIP LOCKED;

-- first_face --
-- $1 event_id.
SELECT min(face_no) FROM face WHERE event_id = $1;

-- delete_some_photos --
-- $1 event_id, $2 limit.
DELETE FROM photo
 WHERE event_id = $1 AND photo_no IN (SELECT photo_no FROM photo WHERE event_id = $1 ORDER BY photo_no LIMIT $2);

-- delete_stray_ingest --
-- $1 seconds without a heartbeat. Of servers that ended without saying so.
SELECT remove_stray_ingest($1);

-- insert_suppression --
-- $1 event_id, $2 suppression_id, $3 uid, $4 min_similarity, $5 until, $6 template.
INSERT INTO suppression (event_id, suppression_id, uid, min_similarity, until, embedding) VALUES ($1, $2, $3, $4, $5, $6);

-- ended_suppressions --
-- Ids of the events that have some.
SELECT event_id FROM events_with_ended_suppressions() AS event_id;

-- event_names --
-- $1 event_ids, expired ones too.
SELECT name FROM event WHERE event_id = ANY ($1::bigint[]);

-- delete_suppressions --
-- $1 event_id, $2 whether only those that have expired.
SELECT remove_suppressions($1, $2);

-- photo_ids --
-- $1 event_id, $2 photo numbers.
SELECT p.photo_no, p.photo_id
  FROM unnest($2::int[]) AS wanted (photo_no)
 CROSS JOIN LATERAL (SELECT * FROM photo p WHERE p.event_id = $1 AND p.photo_no = wanted.photo_no LIMIT 1) p;
