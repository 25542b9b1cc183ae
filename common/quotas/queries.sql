-- quota_take --
-- $1 buckets in order, $2 what each holds, $3 what it gets a second, $4 amounts, $5 whether to take them whatever
-- there is.
-- The emptiest bucket, if one has too little.
SELECT bucket, wait_s FROM take_quota($1::text[], $2::float8[], $3::float8[], $4::float8[], $5::boolean);
