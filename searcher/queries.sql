-- Queries of the query server. Every query names event_id on every table of event data.

-- photo_no --
-- $1 event_id, $2 the caller's photo id.
SELECT photo_no FROM photo WHERE event_id = $1 AND photo_id = $2;

-- alive_events --
-- $1 event_ids. Those that are not deleted and have not expired.
SELECT event_id, uid FROM event
 WHERE event_id = ANY ($1::bigint[]) AND (expire_time IS NULL OR expire_time > now());
