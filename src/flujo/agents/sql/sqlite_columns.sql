-- The tables and views that a query may read, with their columns and declared types, in order.
SELECT t.name, c.name, c.type
FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS c
WHERE c.hidden <> 1  -- 1: of a virtual table; computed columns are hidden, too, from pragma_table_info alone
  AND t.schema = 'main' AND t.type IN ('table', 'view') AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY t.name, c.cid
