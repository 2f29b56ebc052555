-- What PostgreSQL has a step for under this number. Here, a statement names the index that it goes by.
SELECT 1;
