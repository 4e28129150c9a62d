-- name: where_is
SELECT 'users' AS table, position, to_jsonb(u) AS row FROM users u
WHERE partition_date = %(date)s AND user_id = %(user_id)s
UNION ALL
SELECT 'rejected_users', position, to_jsonb(r) FROM rejected_users r
WHERE partition_date = %(date)s AND user_id = %(user_id)s
ORDER BY position;
