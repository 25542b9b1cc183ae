-- Queries that set up the benchmarks, as the role that owns the tables.

-- analyze --
-- After a bulk load: statistics, and pages known to be visible to all.
VACUUM (ANALYZE) event, photo, face;
