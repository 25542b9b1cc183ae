-- Queries that both servers use. Every query names event_id on every table of event data.
--
-- Rows are looked up by number one by one, in LATERAL with a LIMIT: for any event, as plans that are kept are made,
-- Postgres would rather read all rows of an event of average size and look through them, and then do so with a large one.

-- event_by_id --
-- $1 event_id. An event past its expire_time does not exist any more.
SELECT e.*, coalesce((SELECT sum(i.pending) FROM ingest i
                       WHERE i.event_id = $1 AND i.heartbeat > now() - interval '15 seconds'), 0)::int AS photos_pending
  FROM event e
 WHERE e.event_id = $1 AND (e.expire_time IS NULL OR e.expire_time > now());

-- packs --
-- All packs; there are few, and they never change.
SELECT pack_id, key, dimension, min_similarity, confident_similarity, impostor_mean, impostor_sd FROM pack;

-- pack_by_key --
-- $1 key.
SELECT pack_id, key, dimension, min_similarity, confident_similarity, impostor_mean, impostor_sd
  FROM pack
 WHERE key = $1;

-- insert_pack --
-- $1 key, $2 engine, $3 dimension, $4 min_similarity, $5 confident_similarity, $6 impostor_mean, $7 impostor_sd.
INSERT INTO pack (key, engine, dimension, min_similarity, confident_similarity, impostor_mean, impostor_sd)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (key) DO NOTHING;

-- events_by_template_key --
-- $1 ids of keys. The other keys that events need, with how many events and the first five of them.
SELECT template_key, count(*) AS events, (array_agg(name ORDER BY name))[1:5] AS names
  FROM event
 WHERE template_key IS NOT NULL AND template_key <> ALL ($1::text[]) AND (expire_time IS NULL OR expire_time > now())
 GROUP BY template_key
 ORDER BY template_key;

-- standing --
-- $1 event_id. The event as it stands: what tells whether all that was read of it before is of one piece.
SELECT e.uid, e.version, e.revision, e.relation, e.relation_mark, e.photos_indexed, e.photos_rejected, e.faces,
       (SELECT coalesce(sum(i.pending), 0)::int FROM ingest i
         WHERE i.event_id = $1 AND i.heartbeat > now() - interval '15 seconds') AS photos_pending
  FROM event e
 WHERE e.event_id = $1 AND (e.expire_time IS NULL OR e.expire_time > now());

-- shown --
-- $1 event_id, $2 searcher_id. What this server shows of an event; the server, by when it was started; the last sign of
-- life of that Searcher. No row where there is no event.
SELECT e.uid, e.version, e.revision, e.relation, e.relation_mark,
       (SELECT coalesce(sum(i.pending), 0)::int FROM ingest i
         WHERE i.event_id = $1 AND i.heartbeat > now() - interval '15 seconds') AS photos_pending,
       pg_postmaster_start_time() AS server, (SELECT s.heartbeat FROM searcher s WHERE s.searcher_id = $2) AS sign
  FROM event e
 WHERE e.event_id = $1 AND (e.expire_time IS NULL OR e.expire_time > now());

-- photos_by_no --
-- $1 event_id, $2 photo numbers. Each with the event as in `standing`, which has a row of its own where there is no
-- photo.
SELECT e.uid, e.version, e.revision, e.relation, e.relation_mark, e.photos_indexed, e.photos_rejected, e.faces,
       (SELECT coalesce(sum(i.pending), 0)::int FROM ingest i
         WHERE i.event_id = $1 AND i.heartbeat > now() - interval '15 seconds') AS photos_pending,
       p.photo_no, p.photo_id, p.file_name, p.source_uri, p.capture_time, p.attributes, p.width AS photo_width,
       p.height AS photo_height
  FROM event e
  LEFT JOIN (unnest($2::int[]) AS wanted (photo_no)
             CROSS JOIN LATERAL (SELECT * FROM photo p
                                  WHERE p.event_id = $1 AND p.photo_no = wanted.photo_no LIMIT 1) p)
    ON true
 WHERE e.event_id = $1 AND (e.expire_time IS NULL OR e.expire_time > now());

-- The queries below read {faces}: the shared table with the range of the numbers that stand there, or an event's own
-- relation with its range. $1 event_id, $2 pack_id, $3 first face number, $4 face number to end before, in all of them.

-- faces_by_no --
-- $5 face numbers.
SELECT f.face_no, f.photo_no, f.x, f.y, f.width, f.height, f.detection_score, f.quality_score, f.sharpness,
       f.brightness, f.yaw, f.pitch, f.roll, f.landmarks, f.embedding
  FROM unnest($5::int[]) AS wanted (face_no)
 CROSS JOIN LATERAL (SELECT * FROM {faces} f
                      WHERE f.event_id = $1 AND f.pack_id = $2 AND f.face_no = wanted.face_no LIMIT 1) f
 WHERE f.face_no >= $3 AND f.face_no < $4;

-- faces_with_photos --
-- $5 face numbers. Of the shared table only: an own relation may live elsewhere than the photos. The event as in
-- photos_by_no.
SELECT e.uid, e.version, e.revision, e.relation, e.relation_mark, e.photos_indexed, e.photos_rejected, e.faces,
       (SELECT coalesce(sum(i.pending), 0)::int FROM ingest i
         WHERE i.event_id = $1 AND i.heartbeat > now() - interval '15 seconds') AS photos_pending,
       f.face_no, f.photo_no, f.x, f.y, f.width, f.height, f.detection_score, f.quality_score, f.sharpness,
       f.brightness, f.yaw, f.pitch, f.roll, f.landmarks, f.embedding, p.photo_id, p.file_name, p.source_uri,
       p.capture_time, p.attributes, p.width AS photo_width, p.height AS photo_height
  FROM event e
  LEFT JOIN (unnest($5::int[]) AS wanted (face_no)
             CROSS JOIN LATERAL (SELECT * FROM {faces} f
                                  WHERE f.event_id = $1 AND f.pack_id = $2 AND f.face_no = wanted.face_no LIMIT 1) f
             CROSS JOIN LATERAL (SELECT * FROM photo p
                                  WHERE p.event_id = $1 AND p.photo_no = f.photo_no LIMIT 1) p)
    ON f.face_no >= $3 AND f.face_no < $4
 WHERE e.event_id = $1 AND (e.expire_time IS NULL OR e.expire_time > now());

-- faces_of_photos --
-- $5 photo numbers. Without templates.
SELECT f.face_no, f.photo_no, f.x, f.y, f.width, f.height, f.detection_score, f.quality_score, f.sharpness,
       f.brightness, f.yaw, f.pitch, f.roll, f.landmarks
  FROM unnest($5::int[]) AS wanted (photo_no)
 CROSS JOIN LATERAL (SELECT * FROM {faces} f
                      WHERE f.event_id = $1 AND f.photo_no = wanted.photo_no OFFSET 0) f
 WHERE f.pack_id = $2 AND f.face_no >= $3 AND f.face_no < $4;

-- templates_by_no --
-- $5 face numbers.
SELECT f.face_no, f.photo_no, f.embedding
  FROM unnest($5::int[]) AS wanted (face_no)
 CROSS JOIN LATERAL (SELECT * FROM {faces} f
                      WHERE f.event_id = $1 AND f.pack_id = $2 AND f.face_no = wanted.face_no LIMIT 1) f
 WHERE f.face_no >= $3 AND f.face_no < $4;

-- similar_faces --
-- $5 probe, L2-normalised, $6 lowest similarity. Every template at or above it, in no order: an exact scan of the
-- event's templates, which lie side by side under the primary key.
SELECT face_no, photo_no, embedding
  FROM {faces}
 WHERE event_id = $1 AND pack_id = $2 AND face_no >= $3 AND face_no < $4 AND (embedding <#> $5::halfvec) <= -$6::float8;

-- nearest_faces --
-- $2 probe, $3 lowest similarity, {limit}: a plan for any limit would sort the whole table. By the graph of an own
-- relation, which holds one event and one pack; any further condition would be checked after the graph has chosen. How
-- widely it is searched is set before it begins: a condition without columns is checked once, above the scan. Those at
-- or above the lowest similarity, each with the number of all that the graph came up with.
SELECT face_no, photo_no, x, y, width, height, detection_score, quality_score, sharpness, brightness, yaw, pitch,
       roll, landmarks, embedding, among
  FROM (SELECT *, count(*) OVER () AS among
          FROM (SELECT * FROM {faces}
                 WHERE event_id = $1 AND (SELECT set_config('hnsw.ef_search', '{limit}', true)) IS NOT NULL
                 ORDER BY embedding <#> $2::halfvec
                 LIMIT {limit}) AS nearest) AS counted
 WHERE (embedding <#> $2::halfvec) <= -$3::float8;

-- copy_templates --
-- For COPY.
SELECT face_no, photo_no, embedding
  FROM {faces}
 WHERE event_id = $1 AND pack_id = $2 AND face_no >= $3 AND face_no < $4;

-- tombstones --
-- $1 event_id, $2 version. Which faces were deleted after it.
SELECT face_no FROM tombstone WHERE event_id = $1 AND version > $2;

-- delete_face --
-- Of an own relation. $1 event_id, $2 face number.
DELETE FROM {faces} WHERE event_id = $1 AND face_no = $2;

-- remove_faces --
-- $1 event_id, $2 first face number, $3 face number to end before, $4 face numbers or NULL for all of these.
SELECT remove_faces($1, $2, $3, $4);

-- hold_place --
-- $1 event_id. Whoever moves the event's rows to another node waits until this transaction ends, or this one for that: the
-- lock of a row alone stays where the row was.
DELETE FROM event WHERE event_id = $1 AND version < 0;

-- sign_of_life --
-- No parameters.
SELECT 1;

-- server --
-- No parameters. Which server this is: when it was started; and whether Citus is in this database.
SELECT pg_postmaster_start_time() AS started, to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS citus;

-- wall --
-- No parameters. What this role could see of all events: roles that it may become and that own the tables or stand above
-- all policies, and tables that are open to it.
WITH walled AS (SELECT c.oid, c.relowner, c.relrowsecurity, n.nspname ~ '^ev_[0-9]+$' AS own
                  FROM pg_class c
                  JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.oid = ANY ('{photo, face, tombstone, ingest, suppression}'::regclass[])
                    OR (c.relname = 'face' AND c.relkind = 'r' AND n.nspname ~ '^ev_[0-9]+$'))
SELECT session_user::text AS role,
       ARRAY(SELECT r.rolname::text
               FROM pg_roles r
              WHERE (r.rolsuper OR r.rolbypassrls OR r.oid IN (SELECT relowner FROM walled))
                AND pg_has_role(session_user, r.oid, 'MEMBER')
              ORDER BY r.rolname) AS above,
       ARRAY(SELECT oid::regclass::text
               FROM walled
              WHERE NOT relrowsecurity
                 -- Not of own relations: one that is being dropped would look open.
                 OR (NOT own AND NOT row_security_active(oid)) ORDER BY 1) AS open_tables;

-- canaries --
-- No parameters; facepass.event_id must not be set. Rows that nobody may see (migration 0007), as this role sees them.
SELECT (SELECT count(*) FROM photo WHERE event_id = 0) + (SELECT count(*) FROM face WHERE event_id = 0)
           + (SELECT count(*) FROM tombstone WHERE event_id = 0)
           + (SELECT count(*) FROM ingest WHERE event_id = 0)
           + (SELECT count(*) FROM suppression WHERE event_id = 0);

-- log_archive --
-- No parameters. Whether the server archives its log, how many finished files wait for it, and for how many seconds
-- nothing has been archived while some wait. After a crash Postgres no longer knows what it archived last: with
-- archive_timeout some is due within that time. What histories of timelines are called says nothing of the place.
WITH size AS (
    SELECT pg_size_bytes(current_setting('wal_segment_size')) AS segment
), log AS (
    SELECT archiver.*, current_setting('archive_mode') <> 'off' AS archives,
           floor(pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') / segment) - 1 AS finished,
           CASE WHEN last_archived_wal ~ '^[0-9A-F]{24}'
                THEN ('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * ((1::bigint << 32) / segment)
                     + ('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint END AS archived
      FROM pg_stat_archiver AS archiver, size
), waiting AS (
    SELECT *, archives AND (finished > archived
                            OR last_failed_time > coalesce(last_archived_time, '-infinity')
                            OR last_archived_time IS NULL AND current_setting('archive_timeout') <> '0') AS waits
      FROM log
)
SELECT archives,
       CASE WHEN archives THEN greatest(finished - archived, 0)::integer ELSE 0 END AS files,
       CASE WHEN waits
            THEN extract(epoch FROM clock_timestamp() - coalesce(last_archived_time, stats_reset))::double precision
            ELSE 0 END AS waiting_s
  FROM waiting;
