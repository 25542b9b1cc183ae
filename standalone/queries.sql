-- What the doctor asks of a database.

-- server --
SELECT current_setting('server_version_num')::int AS version_num,
       current_setting('server_version') AS version,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS vector_available,
       current_user AS role;

-- settings --
-- $1 names. Their values, as far as this role may see them.
SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[]);

-- tables_out_of_reach --
-- Tables beside the ledger of migrations that this role cannot read and write; to the audit it need only add.
SELECT c.relname
  FROM pg_class c
 WHERE c.relkind IN ('r', 'p')
   AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('migration'))
   AND c.oid <> to_regclass('migration')
   AND NOT (has_table_privilege(c.oid, 'INSERT') AND (c.relname = 'audit' OR has_table_privilege(c.oid, 'SELECT')
            AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')))
 ORDER BY c.relname;
