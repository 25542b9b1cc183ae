-- Queries that both servers use. Every query names event_id on every table of event data.

-- event_by_id --
-- $1 event_id. An event past its expire_time does not exist any more.
SELECT e.*, coalesce((SELECT sum(i.pending) FROM ingest i
                       WHERE i.event_id = $1 AND i.heartbeat > now() - interval '15 seconds'), 0)::int AS photos_pending
  FROM event e
 WHERE e.event_id = $1 AND (e.expire_time IS NULL OR e.expire_time > now());

-- packs --
-- All packs; there are few, and they never change.
SELECT pack_id, key, dimension, min_similarity, confident_similarity FROM pack;

-- pack_by_key --
-- $1 key.
SELECT pack_id, key, dimension, min_similarity, confident_similarity FROM pack WHERE key = $1;

-- insert_pack --
-- $1 key, $2 engine, $3 dimension, $4 min_similarity, $5 confident_similarity.
INSERT INTO pack (key, engine, dimension, min_similarity, confident_similarity)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO NOTHING;

-- photos_by_no --
-- $1 event_id, $2 photo numbers.
SELECT * FROM photo WHERE event_id = $1 AND photo_no = ANY ($2::int[]);

-- faces_by_no --
-- $1 event_id, $2 pack_id, $3 face numbers. Without templates.
SELECT face_no, photo_no, x, y, width, height, detection_score, quality_score, sharpness, brightness, yaw, pitch,
       roll, landmarks
  FROM face
 WHERE event_id = $1 AND pack_id = $2 AND face_no = ANY ($3::int[]);
