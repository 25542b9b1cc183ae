-- The record of who did what, and what is left of quotas that servers share.

-- Control data. One row a call. No biometrics, no names of photos or files, no tokens.
CREATE TABLE audit (
    writer     uuid NOT NULL,                      -- the process that wrote it
    number     bigint NOT NULL,                    -- without a gap for each writer: a missing row shows
    time       timestamptz NOT NULL,
    subject    text NOT NULL,
    method     text NOT NULL,
    events     text[] NOT NULL,                    -- ids
    decision   text NOT NULL CHECK (decision IN ('allowed', 'denied', 'refused')),
    code       text NOT NULL,
    reason     text NOT NULL,
    "limit"    text NOT NULL,
    counts     jsonb NOT NULL,
    request_id text NOT NULL,
    peer       text NOT NULL,
    PRIMARY KEY (writer, number)
);
CREATE INDEX audit_time ON audit (time);

-- Whoever was given the tables of FacePass may add rows here and nothing else.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT acl.grantee::regrole AS role
          FROM pg_class c, aclexplode(c.relacl) AS acl
         WHERE c.oid = 'audit'::regclass AND acl.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('REVOKE ALL ON audit FROM %s', given.role);
        EXECUTE format('GRANT INSERT ON audit TO %s', given.role);
    END LOOP;
END $$;
REVOKE ALL ON audit FROM PUBLIC;
