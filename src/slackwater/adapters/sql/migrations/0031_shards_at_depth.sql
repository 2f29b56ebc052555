-- What PostgreSQL has a step for under this number: there, a row that changes is written anew, with all of its indexes if one of them
-- has a column that changes. Nothing is to be done here.
SELECT 1;
