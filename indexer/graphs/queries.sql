-- Queries about the graphs of large events. Operations and relations are control data; statements on an event's rows
-- name event_id, on every table.

-- end_stale_operation --
-- $1 event_id, $2 uid. What is open for an event of the same name that is gone.
UPDATE operation
   SET done = true, phase = 'DONE', end_time = now(), claimed_by = NULL, error_reason = 'EVENT_NOT_FOUND',
       error_message = 'the event was deleted'
 WHERE event_id = $1 AND uid <> $2 AND NOT done;

-- open_operation --
-- $1 event_id, $2 uid.
SELECT * FROM operation WHERE event_id = $1 AND uid = $2 AND NOT done;

-- insert_operation --
-- $1 operation_id, $2 event_id, $3 event, $4 uid, $5 faces. No row while one of the event is open.
INSERT INTO operation (operation_id, event_id, event, uid, faces_total)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (event_id) WHERE NOT done DO NOTHING
RETURNING *;

-- insert_done_operation --
-- $1 operation_id, $2 event_id, $3 event, $4 uid, $5 strategy. There was nothing to do.
INSERT INTO operation (operation_id, event_id, event, uid, phase, done, strategy, end_time)
VALUES ($1, $2, $3, $4, 'DONE', true, $5, now())
RETURNING *;

-- queue_operations --
-- $1 operation_ids, $2 event_ids, $3 events, $4 uids, side by side, $5 seconds for which a failed one is not repeated.
INSERT INTO operation (operation_id, event_id, event, uid)
SELECT due.*
  FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[]) AS due (operation_id, event_id, event, uid)
 WHERE NOT EXISTS (SELECT FROM operation o
                    WHERE o.event_id = due.event_id AND o.uid = due.uid AND o.error_reason <> ''
                      AND o.done AND o.end_time > now() - make_interval(secs => $5))
ON CONFLICT (event_id) WHERE NOT done DO NOTHING
RETURNING event;

-- operations --
-- $1 operation_id or NULL, $2 operation_id after which the page starts or NULL, $3 limit, $4 names of events, or
-- beginnings that end in *.
SELECT * FROM operation
 WHERE ($1::uuid IS NULL OR operation_id = $1) AND ($2::uuid IS NULL OR operation_id > $2)
   AND event LIKE ANY (ARRAY(SELECT replace(pattern, '*', '%') FROM unnest($4::text[]) AS pattern))
 ORDER BY operation_id
 LIMIT $3;

-- expired --
-- $1 event_ids. Which of them have expired, and when.
SELECT uid, expire_time FROM event WHERE event_id = ANY ($1::bigint[]) AND expire_time <= now();

-- delete_operation --
-- $1 operation_id.
DELETE FROM operation WHERE operation_id = $1 AND done;

-- cancel_operation --
-- $1 operation_id. Whoever works on it finds its claim gone. Once the new relation is searched there is no way back.
UPDATE operation
   SET done = true, phase = 'DONE', end_time = now(), claimed_by = NULL, error_reason = 'OPERATION_CANCELLED',
       error_message = 'the operation was cancelled'
 WHERE operation_id = $1 AND NOT done AND phase <> 'CLEANING';

-- forget_operations --
-- $1 seconds after their end.
DELETE FROM operation WHERE done AND end_time < now() - make_interval(secs => $1);

-- claim_operation --
-- $1 server_id, $2 seconds without a heartbeat after which a server counts as gone. A server works on one at a time, so
-- that what it holds already is left from a failure.
UPDATE operation
   SET claimed_by = $1, heartbeat = now()
 WHERE operation_id = (SELECT operation_id FROM operation
                        WHERE NOT done
                          AND (claimed_by IS NULL OR claimed_by = $1
                               OR heartbeat < now() - make_interval(secs => $2))
                        ORDER BY create_time
                        LIMIT 1
                          FOR UPDATE SKIP LOCKED)
RETURNING *;

-- report_operation --
-- $1 operation_id, $2 server_id, $3 phase, $4 faces done, $5 faces in all. No row when the claim is lost.
UPDATE operation
   SET heartbeat = now(), phase = $3, faces_done = $4, faces_total = $5
 WHERE operation_id = $1 AND claimed_by = $2 AND NOT done
RETURNING operation_id;

-- hold_claim --
-- $1 operation_id, $2 server_id. No row when the claim is lost; nobody else gets it before this transaction ends.
SELECT operation_id FROM operation WHERE operation_id = $1 AND claimed_by = $2 AND NOT done FOR SHARE;

-- finish_operation --
-- $1 operation_id, $2 server_id, $3 strategy, $4 error_reason, $5 error_message.
UPDATE operation
   SET done = true, phase = 'DONE', end_time = now(), claimed_by = NULL, strategy = $3, error_reason = $4,
       error_message = $5
 WHERE operation_id = $1 AND claimed_by = $2 AND NOT done;

-- release_claims --
-- $1 server_id. For others to take at once.
UPDATE operation SET claimed_by = NULL WHERE claimed_by = $1 AND NOT done;

-- graph_progress --
-- $1 process id of the backend that builds a graph. Faces that are in it.
SELECT tuples_done FROM pg_stat_progress_create_index WHERE pid = $1 AND phase = 'building index: loading tuples';

-- hold_event --
-- $1 event_id. As lock_event, for what changes nothing that a reader could see: others may hold it likewise.
SELECT * FROM event
 WHERE event_id = $1 AND (expire_time IS NULL OR expire_time > now())
   FOR SHARE;

-- insert_relation --
-- $1 event_id, $2 uid.
INSERT INTO relation (event_id, uid, state) VALUES ($1, $2, 'BUILDING') RETURNING relation;

-- create_relation --
-- $1 relation, $2 dimension.
SELECT create_relation($1, $2);

-- copy_faces --
-- From {faces} into {into}. $1 event_id, $2 pack_id, $3 first face number, $4 face number to end before.
INSERT INTO {into}
SELECT * FROM {faces} WHERE event_id = $1 AND pack_id = $2 AND face_no >= $3 AND face_no < $4
ON CONFLICT DO NOTHING;

-- lift_timeout --
-- For this transaction.
SELECT set_config('statement_timeout', '0', true);

-- index_relation --
-- $1 relation, $2 m, $3 ef_construction.
SELECT index_relation($1, $2, $3);

-- relation_size --
-- $1 relation. Bytes of table and indexes.
SELECT relation_bytes($1);

-- forget_in_relation --
-- From {faces}: $1 event_id, $2 pack_id, $3 version after which deletions are not in it yet, $4 the last to follow.
DELETE FROM {faces}
 WHERE event_id = $1 AND pack_id = $2
   AND face_no IN (SELECT face_no FROM tombstone WHERE event_id = $1 AND version > $3 AND version <= $4);

-- commit_together --
-- Once in a transaction that changes control data and an event's row.
SELECT commit_together();

-- adopt_relation --
-- $1 event_id, $2 relation, $3 mark, $4 faces, $5 bytes, $6 ef_search, $7 recall. Of a locked event.
UPDATE event
   SET relation = $2, relation_mark = $3, relation_faces = $4, relation_bytes = $5, relation_ef = $6,
       relation_recall = $7, relation_time = now()
 WHERE event_id = $1;

-- leave_relation --
-- $1 event_id. Of a locked event, whose faces are all in the shared table.
UPDATE event
   SET relation = NULL, relation_mark = 0, relation_faces = 0, relation_bytes = 0, relation_ef = 0,
       relation_recall = NULL, relation_time = NULL
 WHERE event_id = $1;

-- move_relation --
-- $1 relation, $2 states that it may be in, $3 state. No row when it is in none of them.
UPDATE relation SET state = $3 WHERE relation = $1 AND state = ANY ($2::text[]) RETURNING relation;

-- relation_state --
-- $1 relation.
SELECT state FROM relation WHERE relation = $1;

-- give_up_others --
-- $1 event_id, $2 relation that is kept, or 0.
UPDATE relation SET state = 'DROPPING' WHERE event_id = $1 AND relation <> $2 AND state <> 'DROPPING';

-- give_up_relation --
-- $1 relation.
UPDATE relation SET state = 'DROPPING' WHERE relation = $1;

-- next_copy --
-- $1 event_id, $2 pack_id, $3 first face number, $4 mark. The first row of the shared table that is a copy.
SELECT face_no FROM face
 WHERE event_id = $1 AND pack_id = $2 AND face_no >= $3 AND face_no < $4
 ORDER BY face_no
 LIMIT 1;

-- relations_to_drop --
-- $1 event_id or NULL for all, $2 limit. Any order, so that those that cannot be dropped yet do not stand before others.
SELECT relation FROM relation
 WHERE state = 'DROPPING' AND ($1::bigint IS NULL OR event_id = $1)
 ORDER BY random()
 LIMIT $2;

-- hold_relation --
-- $1 relation. No row when another server is dropping it.
SELECT relation FROM relation WHERE relation = $1 AND state = 'DROPPING' FOR UPDATE SKIP LOCKED;

-- drop_relation --
-- $1 relation.
SELECT drop_relation($1);

-- delete_relation --
-- $1 relation.
DELETE FROM relation WHERE relation = $1;

-- relations --
-- All that are not being dropped, with whether somebody works for the event.
SELECT r.relation, r.event_id, r.uid, r.state,
       EXISTS (SELECT FROM operation o WHERE o.event_id = r.event_id AND NOT o.done) AS open
  FROM relation r
 WHERE r.state <> 'DROPPING';

-- relation_counts --
SELECT state, count(*) AS relations FROM relation GROUP BY state;

-- open_operation_counts --
SELECT count(claimed_by) AS running, count(*) - count(claimed_by) AS queued FROM operation WHERE NOT done;

-- stored_counts --
SELECT count(*) AS events, coalesce(sum(faces), 0) AS faces, coalesce(sum(relation_faces), 0) AS own FROM event;

-- events_by_key --
-- $1 event_ids, expired ones too.
SELECT event_id, name, uid FROM event WHERE event_id = ANY ($1::bigint[]);

-- due_events --
-- $1 faces from which an event has a graph, $2 seconds of quiet, $3 share and $4 number of new faces to be folded in.
SELECT event_id, name, uid FROM event
 WHERE pack_id IS NOT NULL AND (expire_time IS NULL OR expire_time > now())
   AND face_time <= now() - make_interval(secs => $2)
   AND CASE WHEN relation IS NULL THEN faces >= $1
            ELSE faces < $1 / 2.0 OR next_face_no - relation_mark > greatest($3 * relation_faces, $4) END;

-- relations_with_residue --
-- $1 seconds of quiet. What was removed from a graph is in its files until it is built anew; and whether that waits no
-- longer for its event to be quiet.
SELECT r.event_id, r.relation, min(x.create_time) <= now() - make_interval(secs => 10 * $1::float8) AS at_once
  FROM erasure x
  JOIN relation r ON r.event_id = x.event_id AND r.relation = ANY (x.relations)
 WHERE x.physical_time IS NULL AND x.wiped_lsn IS NULL AND r.state <> 'DROPPING'
 GROUP BY r.event_id, r.relation;

-- events_to_renew --
-- $1 event_ids, $2 relations, $3 those that wait no longer, $4 seconds of quiet. Of events that use one of these.
SELECT event_id, name, uid FROM event
 WHERE event_id = ANY ($1::bigint[]) AND relation = ANY ($2::bigint[]) AND (expire_time IS NULL OR expire_time > now())
   AND (face_time <= now() - make_interval(secs => $4) OR relation = ANY ($3::bigint[]));

-- promoted_after --
-- $1 event_id. The next event with a graph.
SELECT event_id, name FROM event
 WHERE event_id > $1 AND relation IS NOT NULL AND (expire_time IS NULL OR expire_time > now())
 ORDER BY event_id
 LIMIT 1;

-- count_in_graph --
-- From {faces}: $1 event_id, $2 probe, $3 limit, at most hnsw.ef_search. How many faces the graph comes up with.
SELECT count(*)
  FROM (SELECT FROM {faces} WHERE event_id = $1 ORDER BY embedding <#> $2::halfvec LIMIT $3) AS found;

-- count_up_to --
-- From {faces}: $1 event_id, $2 limit. How many faces there are, counted up to the limit.
SELECT count(*) FROM (SELECT FROM {faces} WHERE event_id = $1 LIMIT $2) AS seen;

-- set_ef_search --
-- $1 event_id, $2 uid, $3 relation, $4 ef_search, $5 recall.
UPDATE event SET relation_ef = $4, relation_recall = $5 WHERE event_id = $1 AND uid = $2 AND relation = $3;

-- events_with_old_tombstones --
-- $1 age in seconds.
SELECT event_id FROM events_with_tombstones(now() - make_interval(secs => $1)) AS event_id;

-- tombstone_floor --
-- $1 event_id, $2 age in seconds, $3 how many at most. The version up to which they can go.
SELECT max(version)
  FROM (SELECT version FROM tombstone
         WHERE event_id = $1 AND delete_time < now() - make_interval(secs => $2)
         ORDER BY version
         LIMIT $3) AS old;

-- delete_tombstones --
-- $1 event_id, $2 version.
DELETE FROM tombstone WHERE event_id = $1 AND version <= $2;

-- raise_tombstone_floor --
-- $1 event_id, $2 version. Of a locked event.
UPDATE event SET tombstone_floor = greatest(tombstone_floor, $2) WHERE event_id = $1;
