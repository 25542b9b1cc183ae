#!/bin/sh
# Makes FacePass' two roles and its database in a new Postgres: `facepass_owner` runs the migrations and owns the
# schema, `facepass_server` is who the servers connect as. As a superuser, with psql's PG* variables or the defaults;
# OWNER_PASSWORD_FILE and SERVER_PASSWORD_FILE name the files of their passwords, BOOTSTRAP the folder of the scripts.
set -eu
run() { psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" "$@"; }
run -d postgres -v owner_password="$(cat "$OWNER_PASSWORD_FILE")" -v server_password="$(cat "$SERVER_PASSWORD_FILE")" \
  -f "$BOOTSTRAP/bootstrap_roles.sql"
run -d postgres -c 'CREATE DATABASE facepass OWNER facepass_owner'
run -d facepass -f "$BOOTSTRAP/bootstrap_database.sql"
