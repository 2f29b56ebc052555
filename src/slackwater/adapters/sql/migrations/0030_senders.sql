-- For which deployments each member sends: their keys, as a JSON list. NULL: it has not said so, as servers of earlier versions do
-- not, which send for all.
ALTER TABLE member ADD COLUMN sends_for TEXT;
