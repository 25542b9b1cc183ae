-- Run by psql as the superuser at each start. Variables: owner_password, server_password.
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('facepass_owner'), ('facepass_server')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE facepass_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'owner_password';
ALTER ROLE facepass_server LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'server_password';
GRANT pg_checkpoint TO facepass_server;
