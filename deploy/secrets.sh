#!/bin/sh
# usage: secrets.sh FOLDER      makes the passwords, connection strings and keys that compose.yaml mounts, where they
# are absent. Keep the folder, and a copy apart from the database's: with new passwords the old database cannot be opened,
# and with new keys its templates cannot be searched.
set -eu
folder=$1
umask 077
mkdir -p "$folder"
# Containers read the files as users of their own; on this machine nobody else gets into the folder.
chmod 700 "$folder"
keep() { # name, text
  [ -s "$folder/$1" ] || printf '%s' "$2" >"$folder/$1"
  chmod 644 "$folder/$1"
}
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
for name in postgres_password owner_password server_password grafana_password template_keys; do keep "$name" "$(random)"; done
for role in owner server; do
  keep "${role}_dsn" "postgresql://facepass_$role:$(cat "$folder/${role}_password")@postgres:5432/facepass"
done
