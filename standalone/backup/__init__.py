"""Backups of the embedded Postgres: base backups, and an archive of all changes beside them."""
