-- What is asked of a database with Citus, as the role that owns the tables.

-- extension --
-- The extension in this database, what could be created in it, and whether the server has loaded it.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'citus') AS version,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'citus') AS available,
       current_setting('citus.shard_count', true) IS NOT NULL AS loaded;

-- nodes --
-- Group 0 is the coordinator.
SELECT groupid, nodename, nodeport, isactive, shouldhaveshards FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid;

-- is_coordinator --
SELECT groupid = 0 FROM pg_dist_local_group;

-- on_nodes --
-- $1 what is to be run on every node.
SELECT n.nodename, n.nodeport, r.success, r.result
  FROM run_command_on_all_nodes($1) AS r JOIN pg_dist_node n USING (nodeid)
 ORDER BY n.groupid;

-- node_lacks --
-- For `on_nodes`, with the servers' roles: what a node lacks, in words; empty where it lacks nothing.
SELECT concat_ws(' and ',
                 CASE WHEN NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
                      THEN 'the extension vector' END,
                 CASE WHEN NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
                      THEN 'the extension citus' END,
                 (SELECT string_agg('the role ' || name, ' and ') FROM unnest({roles}::text[]) AS name
                   WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)));

-- roles --
-- Those that the tables are granted to, beside their owner.
SELECT DISTINCT acl.grantee::regrole::text AS role
  FROM pg_class c, aclexplode(c.relacl) AS acl
 WHERE c.oid = 'public.face'::regclass AND acl.grantee NOT IN (0, c.relowner);

-- server_sessions --
-- $1 roles. How many sessions of theirs there are.
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = ANY ($1::text[]);

-- tables --
-- $1 tables of public. Those that Citus has, and how many bytes of rows each still has here beside what was distributed.
SELECT p.logicalrelid::text AS name, pg_relation_size(p.logicalrelid) AS local_bytes
  FROM pg_dist_partition p
 WHERE p.logicalrelid = ANY (SELECT to_regclass('public.' || name) FROM unnest($1::text[]) AS name);

-- remove_carriers --
-- Their pages are not taken along.
DELETE FROM face WHERE event_id < 0;

-- distribute_first --
-- $1 shards.
SELECT create_distributed_table('public.event', 'event_id', shard_count => $1);

-- distribute --
-- $1 table.
SELECT create_distributed_table(to_regclass('public.' || $1), 'event_id', colocate_with => 'public.event');

-- tell_nodes --
-- $1 table, which stays here.
SELECT citus_add_local_table_to_metadata(to_regclass('public.' || $1));

-- truncate_local --
-- $1 table with its schema.
SELECT truncate_local_data_after_distributing_table($1::text::regclass);

-- own_tables --
-- Own tables of events that are in use, whether Citus has them, and what is still to be done.
SELECT r.relation, 'ev_' || r.relation AS schema, e.name AS event, s.colocationid IS NOT NULL AS distributed,
       pg_relation_size(to_regclass(format('ev_%s.face', r.relation))) AS local_bytes,
       to_regclass(format('ev_%s.face_embedding', r.relation)) IS NOT NULL AS has_graph
  FROM relation r
  JOIN pg_namespace n ON n.nspname = 'ev_' || r.relation
  JOIN event e ON e.event_id = r.event_id AND e.relation = r.relation
  LEFT JOIN pg_dist_schema s ON s.schemaid = n.oid
 ORDER BY r.relation;

-- drop_graph --
DROP INDEX IF EXISTS {schema}.face_embedding;

-- distribute_schema --
-- $1 schema.
SELECT citus_schema_distribute($1::text::regnamespace);

-- build_graph --
CREATE INDEX IF NOT EXISTS face_embedding ON {schema}.face USING hnsw (embedding halfvec_ip_ops)
  WITH (m = {m}, ef_construction = {ef_construction});

-- analyze --
ANALYZE {table};

-- database --
SELECT quote_ident(current_database());

-- set_for_sessions --
-- On every node, as the servers set it for the sessions that they open themselves.
ALTER DATABASE {database} SET {setting};

-- shard_sizes --
-- Shards of every node: how many, their bytes, and how many own tables of events are among them.
SELECT nodename, nodeport, count(*) AS shards, coalesce(sum(shard_size), 0)::bigint AS bytes,
       count(*) FILTER (WHERE citus_table_type = 'schema') AS own_tables
  FROM citus_shards
 WHERE citus_table_type IN ('distributed', 'schema')
 GROUP BY nodename, nodeport;

-- events_of_shards --
-- How many events each node has.
SELECT n.nodename, n.nodeport, sum(r.result::bigint)::bigint AS events
  FROM run_command_on_shards('public.event', 'SELECT count(*) FROM %s') AS r
  JOIN pg_dist_placement p USING (shardid)
  JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
 WHERE r.success
 GROUP BY n.nodename, n.nodeport;

-- event_place --
-- $1 event_id. Its own table, if it has one, and the shard of its rows: where it is, and whether it is the event's alone.
SELECT e.name, CASE WHEN r.schemaid IS NOT NULL THEN 'ev_' || e.relation END AS schema
  FROM event e
  LEFT JOIN pg_namespace s ON s.nspname = 'ev_' || e.relation
  LEFT JOIN pg_dist_schema r ON r.schemaid = s.oid
 WHERE e.event_id = $1;

-- shard_place --
-- $1 shard.
SELECT n.nodename, n.nodeport, s.shardminvalue = s.shardmaxvalue AS alone
  FROM pg_dist_shard s
  JOIN pg_dist_placement p USING (shardid)
  JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
 WHERE s.shardid = $1;

-- shard_of_event --
-- $1 event_id.
SELECT get_shard_id_for_distribution_column('public.event', $1::bigint);

-- shard_of_schema --
-- $1 schema.
SELECT s.shardid FROM pg_dist_shard s WHERE s.logicalrelid = format('%I.face', $1::text)::regclass;

-- isolate --
-- $1 event_id. A shard of its own for its rows in every table. Writes to the shard that they were in wait: without that,
-- an update that comes too early stops the work for good (publisher did not send replica identity column; Citus 14.0).
SELECT isolate_tenant_to_new_shard('public.event', $1::bigint, 'CASCADE', shard_transfer_mode => 'block_writes');

-- events_in_shard --
-- $1 shard of `event`. How many there are.
SELECT result::bigint
  FROM run_command_on_shards('public.event', 'SELECT count(*) FROM %s WHERE event_id > 0') WHERE shardid = $1 AND success;

-- move_shard --
-- $1 shard, $2 host and $3 port that it is on, $4 and $5 that it goes to; with those of the other tables.
SELECT citus_move_shard_placement($1, $2, $3, $4, $5, 'force_logical');

-- move_schema --
-- $1 schema, $2 host, $3 port.
SELECT citus_schema_move($1::text::regnamespace, $2, $3, 'force_logical');

-- move_progress --
-- Bytes that arrived, and bytes in all, of moves that are under way.
SELECT coalesce(sum(target_shard_size), 0)::bigint AS arrived, coalesce(sum(source_shard_size), 0)::bigint AS all
  FROM get_rebalance_progress();

-- rebalance --
SELECT citus_rebalance_start(shard_transfer_mode => 'force_logical');

-- rebalance_state --
SELECT state::text, details::text FROM citus_rebalance_status();
