-- Queries of the indexing server. Every query names event_id on every table of event data.

-- insert_event --
-- $1 event_id, $2 name, $3 uid, $4 display_name, $5 location, $6 start_time, $7 expire_time, $8 quality_filter,
-- $9 detail, $10 min_similarity, $11 request_id, $12 request_digest, $13 template_key. No row when the name is
-- taken.
INSERT INTO event (event_id, name, uid, display_name, location, start_time, expire_time, quality_filter, detail,
                   min_similarity, request_id, request_digest, template_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (event_id) DO NOTHING
RETURNING *;

-- event_request --
-- $1 event_id. The event with the request that made it, and whether it has expired.
SELECT *, expire_time <= now() AS expired FROM event WHERE event_id = $1 FOR UPDATE;

-- event_by_uid --
-- $1 uid.
SELECT name FROM event WHERE uid = $1 AND (expire_time IS NULL OR expire_time > now());

-- list_events --
-- $1 name after which the page starts, $2 limit, $3 names, or beginnings of names that end in *.
SELECT * FROM event
 WHERE name > $1 AND (expire_time IS NULL OR expire_time > now())
   AND name LIKE ANY (ARRAY(SELECT replace(pattern, '*', '%') FROM unnest($3::text[]) AS pattern))
 ORDER BY name
 LIMIT $2;

-- lock_event --
-- $1 event_id. Every commit that changes an event's rows holds this lock, so that versions are in commit order.
SELECT *, now() AS now FROM event
 WHERE event_id = $1 AND (expire_time IS NULL OR expire_time > now())
   FOR UPDATE;

-- update_event --
-- $1 event_id, $2 display_name, $3 location, $4 start_time, $5 expire_time, $6 quality_filter, $7 detail,
-- $8 min_similarity.
UPDATE event
   SET display_name = $2, location = $3, start_time = $4, expire_time = $5, quality_filter = $6, detail = $7,
       min_similarity = $8, revision = revision + 1, update_time = now()
 WHERE event_id = $1
RETURNING *;

-- advance_event --
-- $1 event_id, $2 photos numbered, $3 faces numbered, $4 photos indexed more, $5 photos rejected more, $6 faces more,
-- $7 pack_id to set at the first photo.
UPDATE event
   SET version = version + 1, next_photo_no = next_photo_no + $2, next_face_no = next_face_no + $3,
       photos_indexed = photos_indexed + $4, photos_rejected = photos_rejected + $5, faces = faces + $6,
       pack_id = coalesce(pack_id, $7), face_time = now()
 WHERE event_id = $1;

-- delete_event --
-- $1 event_id.
DELETE FROM event WHERE event_id = $1;

-- delete_event_photos --
-- $1 event_id.
DELETE FROM photo WHERE event_id = $1;

-- delete_event_tombstones --
-- $1 event_id.
DELETE FROM tombstone WHERE event_id = $1;

-- give_up_relations --
-- $1 event_id. What it has of its own is dropped next.
UPDATE relation SET state = 'DROPPING' WHERE event_id = $1;

-- delete_event_ingest --
-- $1 event_id.
DELETE FROM ingest WHERE event_id = $1;

-- insert_photos --
-- $1 rows. COPY, which is faster, is refused where row-level security stands. Citus would use it too, but not for what
-- returns something.
INSERT INTO photo SELECT * FROM unnest($1::photo[]) RETURNING photo_no;

-- insert_faces --
-- $1 rows.
INSERT INTO face SELECT * FROM unnest($1::face[]) RETURNING face_no;

-- photos_by_id --
-- $1 event_id, $2 photo ids.
SELECT p.*
  FROM (SELECT DISTINCT unnest($2::text[]) AS photo_id) AS wanted
 CROSS JOIN LATERAL (SELECT * FROM photo p WHERE p.event_id = $1 AND p.photo_id = wanted.photo_id LIMIT 1) p;

-- photo_digest --
-- $1 event_id, $2 photo id, $3 uid. Of that very event.
SELECT p.sha256, p.state
  FROM event e
  JOIN photo p ON p.event_id = $1 AND p.photo_id = $2
 WHERE e.event_id = $1 AND e.uid = $3 AND (e.expire_time IS NULL OR e.expire_time > now());

-- list_photos --
-- $1 event_id, $2 photo number after which the page starts, $3 state or NULL for all, $4 limit.
SELECT * FROM photo
 WHERE event_id = $1 AND photo_no > $2 AND ($3::text IS NULL OR state = $3)
 ORDER BY photo_no
 LIMIT $4;

-- delete_photo --
-- $1 event_id, $2 photo number.
DELETE FROM photo WHERE event_id = $1 AND photo_no = $2;

-- insert_tombstones --
-- $1 event_id, $2 version that deletes them, $3 face numbers.
INSERT INTO tombstone (event_id, version, face_no) SELECT $1, $2, face_no FROM unnest($3::int[]) AS face_no
RETURNING face_no;

-- report_pending --
-- $1 event_id, $2 server_id, $3 photos that this server is working on.
INSERT INTO ingest (event_id, server_id, pending) VALUES ($1, $2, $3)
ON CONFLICT (event_id, server_id) DO UPDATE SET pending = excluded.pending, heartbeat = excluded.heartbeat;

-- clear_pending --
-- $1 event_id, $2 server_id.
DELETE FROM ingest WHERE event_id = $1 AND server_id = $2;

-- end_event_operations --
-- $1 event_id. The event is being deleted.
UPDATE operation
   SET done = true, phase = 'DONE', end_time = now(), claimed_by = NULL, error_reason = 'EVENT_NOT_FOUND',
       error_message = 'the event was deleted'
 WHERE event_id = $1 AND NOT done;

-- suppressions --
-- $1 event_id, $2 uid. Templates that later photos of the event are compared with.
SELECT embedding, min_similarity FROM suppression WHERE event_id = $1 AND uid = $2 AND until > now();

-- database_bytes --
-- No parameters.
SELECT pg_database_size(current_database());
