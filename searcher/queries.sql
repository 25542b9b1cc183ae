-- Queries of the query server. Every query names event_id on every table of event data.

-- photo_no --
-- $1 event_id, $2 the caller's photo id.
SELECT photo_no FROM photo WHERE event_id = $1 AND photo_id = $2;
