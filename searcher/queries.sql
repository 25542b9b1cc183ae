-- Queries of the query server. Every query names event_id on every table of event data.

-- photo_no --
-- $1 event_id, $2 the caller's photo id.
SELECT photo_no FROM photo WHERE event_id = $1 AND photo_id = $2;

-- alive_events --
-- $1 event_ids. Those that are not deleted and have not expired.
SELECT event_id, uid FROM event
 WHERE event_id = ANY ($1::bigint[]) AND (expire_time IS NULL OR expire_time > now());

-- report_searcher --
-- $1 searcher_id. That it is there; this sign of life, and the server that has it, by when it was started.
INSERT INTO searcher (searcher_id) VALUES ($1)
ON CONFLICT (searcher_id) DO UPDATE SET heartbeat = clock_timestamp()
RETURNING heartbeat AS sign, pg_postmaster_start_time() AS server;

-- erasures_to_confirm --
-- $1 searcher_id. Erasures that it may hold something of.
SELECT e.erasure_id, e.event_id FROM erasure e
 WHERE e.live_time IS NULL
   AND NOT EXISTS (SELECT FROM forgotten f WHERE f.erasure_id = e.erasure_id AND f.searcher_id = $1);

-- wait_for_writers --
-- $1 event_id. Until whoever changes the event's faces now has committed on its node.
SELECT FROM event WHERE event_id = $1 FOR SHARE;

-- confirm_erasures --
-- $1 searcher_id, $2 erasure_ids. That it holds nothing of them any more.
INSERT INTO forgotten (searcher_id, erasure_id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING;

-- remove_searcher --
-- $1 searcher_id.
DELETE FROM searcher WHERE searcher_id = $1;
