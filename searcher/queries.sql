-- Queries of the query server. Every query names event_id on every table of event data.

-- candidates --
-- $1 event_id, $2 pack_id, $3 probe, L2-normalised, $4 lowest similarity. Every template at or above it, in no order:
-- an exact scan of the event's templates, which lie side by side under the primary key.
SELECT face_no, photo_no, -(embedding <#> $3::halfvec) AS similarity
  FROM face
 WHERE event_id = $1 AND pack_id = $2 AND (embedding <#> $3::halfvec) <= -$4::float8;

-- template --
-- $1 event_id, $2 pack_id, $3 face number, $4 the caller's photo id.
SELECT f.embedding
  FROM face f
  JOIN photo p ON p.event_id = $1 AND p.photo_no = f.photo_no
 WHERE f.event_id = $1 AND f.pack_id = $2 AND f.face_no = $3 AND p.photo_id = $4;
