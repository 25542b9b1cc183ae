-- Queries that set up the benchmarks, as the role that owns the tables.

-- analyze --
-- After a bulk load: statistics, and pages known to be visible to all.
VACUUM (ANALYZE) event, photo, face;

-- faces_of_event --
-- $1 event_id. The templates of an event with their photos.
SELECT photo.photo_id, ARRAY[face.x, face.y, face.width, face.height] AS box, face.embedding
FROM face JOIN photo ON photo.event_id = $1 AND photo.photo_no = face.photo_no
WHERE face.event_id = $1
ORDER BY face.face_no;
