-- audit_add --
-- $1 lines, as a JSON list. A line that was written before is passed over: the answer to its COMMIT was lost.
INSERT INTO audit
SELECT *
  FROM jsonb_to_recordset($1::text::jsonb)
       AS line (writer uuid, number bigint, "time" timestamptz, subject text, method text, events text[],
                decision text, code text, reason text, "limit" text, counts jsonb, request_id text, peer text)
    ON CONFLICT DO NOTHING;

-- audit_read --
-- $1 event, $2 subject, $3 method or its last part, $4 from, $5 before, $6 most: NULL where any will do.
SELECT jsonb_build_object(
           'time', to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'subject', subject, 'method', method, 'events', events, 'decision', decision, 'code', code,
           'reason', reason, 'limit', "limit", 'counts', counts, 'request_id', request_id, 'peer', peer,
           'writer', replace(writer::text, '-', ''), 'number', number)::text AS line
  FROM (SELECT *
          FROM audit
         WHERE ($1::text IS NULL OR $1 = ANY (events))
           AND ($2::text IS NULL OR subject = $2)
           AND ($3::text IS NULL OR method = $3 OR split_part(method, '/', 2) = $3)
           AND ($4::timestamptz IS NULL OR time >= $4)
           AND ($5::timestamptz IS NULL OR time < $5)
         ORDER BY time DESC, writer, number DESC
         LIMIT $6) AS newest
 ORDER BY time, writer, number;

-- audit_prune --
-- $1 time before which rows go. How many went.
WITH gone AS (DELETE FROM audit WHERE time < $1 RETURNING 1)
SELECT count(*) FROM gone;
