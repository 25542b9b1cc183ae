-- B3 and B4: one table of all events with one graph.

-- create --
-- Its vectors are stored apart, so the table alone looks too small to Postgres for a second process at the build.
CREATE TABLE baseline (
    event_id  bigint NOT NULL,
    face_no   integer NOT NULL,
    embedding vector(512) NOT NULL
) WITH (parallel_workers = 1);

-- memory --
-- The graph must fit, or the build takes five times as long.
SELECT set_config('maintenance_work_mem', '4GB', false), set_config('max_parallel_maintenance_workers', '1', false);

-- build --
CREATE INDEX baseline_embedding ON baseline USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);

-- analyze --
VACUUM (ANALYZE) baseline;

-- iterate --
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', false);

-- force_graph --
SELECT set_config('enable_seqscan', 'off', false);

-- widen --
-- $1 hnsw.ef_search.
SELECT set_config('hnsw.ef_search', $1, false);

-- search --
-- $1 event_id, $2 probe, $3 most faces.
SELECT face_no, 1 - (embedding <=> $2::vector) AS similarity
  FROM baseline
 WHERE event_id = $1
 ORDER BY embedding <=> $2::vector
 LIMIT $3;

-- explain --
-- As search.
EXPLAIN SELECT face_no, 1 - (embedding <=> $2::vector) AS similarity
  FROM baseline
 WHERE event_id = $1
 ORDER BY embedding <=> $2::vector
 LIMIT $3;

-- insert --
-- $1 event_id, $2 face_no, $3 embedding.
INSERT INTO baseline (event_id, face_no, embedding) VALUES ($1, $2, $3);
