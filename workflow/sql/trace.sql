-- name: where_is
SELECT %(table)s AS table, position, to_jsonb(t) AS row FROM {table} t
WHERE partition_date = %(date)s AND {key} = %(key)s
UNION ALL
SELECT %(rejects)s, position, to_jsonb(r) FROM {rejects} r
WHERE partition_date = %(date)s AND {key} = %(key)s
ORDER BY position;
