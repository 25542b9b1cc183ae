-- What an erasure took, by number, so that it can be made again in a backup that is older than it. No biometrics: these
-- numbers stand nowhere else any more.
ALTER TABLE erasure
    ADD COLUMN photo_numbers integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN face_numbers  integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN journal_time  timestamptz;          -- in the journal beside the backups
CREATE INDEX erasure_not_journaled ON erasure (create_time) WHERE journal_time IS NULL;
