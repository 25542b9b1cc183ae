-- pgvector holds the templates. Where this role may not create extensions, a superuser does it once.
CREATE EXTENSION IF NOT EXISTS vector;
