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

-- Control data. Levels of token buckets: lost, all are full.
CREATE UNLOGGED TABLE quota (
    bucket text PRIMARY KEY,
    level  double precision NOT NULL,              -- below 0: owed
    time   timestamptz NOT NULL                    -- when it was at that level
);
CREATE INDEX quota_time ON quota (time);

-- Takes amounts from all buckets, whatever there is where that is owed; else from none where one has too little, which
-- is answered. Buckets must come in order, so that no two callers wait for each other.
CREATE FUNCTION take_quota(buckets text[], holds double precision[], per_s double precision[],
                           amounts double precision[], owed boolean)
    RETURNS TABLE (bucket text, wait_s double precision) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz;
BEGIN
    INSERT INTO quota
    SELECT name, most, clock_timestamp() FROM unnest(buckets, holds) AS new (name, most)
        ON CONFLICT DO NOTHING;
    PERFORM 1 FROM quota WHERE bucket = ANY (buckets) ORDER BY bucket FOR UPDATE;
    moment := clock_timestamp();
    UPDATE quota
       SET level = least(most, level + greatest(0, extract(epoch FROM moment - time)) * rate), time = moment
      FROM unnest(buckets, holds, per_s) AS used (name, most, rate)
     WHERE bucket = name;
    RETURN QUERY
    SELECT bucket, (least(amount, most) - level) / rate
      FROM quota JOIN unnest(buckets, holds, per_s, amounts) AS used (name, most, rate, amount) ON bucket = name
     WHERE NOT owed AND least(amount, most) - level > 1e-6
     ORDER BY 2 DESC
     LIMIT 1;
    IF NOT FOUND THEN
        UPDATE quota SET level = level - amount
          FROM unnest(buckets, amounts) AS used (name, amount)
         WHERE bucket = name;
    END IF;
    -- Buckets that nobody uses any more are full.
    IF random() < 0.01 THEN
        DELETE FROM quota
         WHERE bucket IN (SELECT bucket FROM quota WHERE time < moment - interval '1 day' LIMIT 100
                             FOR UPDATE SKIP LOCKED);
    END IF;
END $$;
