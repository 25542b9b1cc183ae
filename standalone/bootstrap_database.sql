-- Run by psql as the superuser in each database of FacePass at each start.
SET client_min_messages = warning;

-- Not a trusted extension: the owner of a database cannot create it.
CREATE EXTENSION IF NOT EXISTS vector;
ALTER EXTENSION vector UPDATE;

ALTER DEFAULT PRIVILEGES FOR ROLE facepass_owner GRANT USAGE ON SCHEMAS TO facepass_server;
ALTER DEFAULT PRIVILEGES FOR ROLE facepass_owner
    GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON TABLES TO facepass_server;
ALTER DEFAULT PRIVILEGES FOR ROLE facepass_owner GRANT USAGE ON SEQUENCES TO facepass_server;
ALTER DEFAULT PRIVILEGES FOR ROLE facepass_owner GRANT EXECUTE ON FUNCTIONS TO facepass_server;

-- What was removed is to leave the log of changes too, not only the tables.
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO facepass_server;
