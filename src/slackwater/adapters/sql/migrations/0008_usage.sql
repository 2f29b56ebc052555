-- Schema 8. What completed work has used, by day. A batch's price is fixed when it is accepted, so that a later price
-- changes nothing that was agreed; tokens are counted here under the price that they have, and money is made of them when
-- somebody asks. `price` is the text of a price, or empty where there was none; `day` counts from 1970, in UTC.

ALTER TABLE batch ADD COLUMN price TEXT;

CREATE TABLE usage_day (
    resource         TEXT NOT NULL,
    day              INTEGER NOT NULL,
    deployment       TEXT NOT NULL,
    model            TEXT NOT NULL,
    price            TEXT NOT NULL,
    requests         INTEGER NOT NULL,
    input_tokens     INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    PRIMARY KEY (resource, day, deployment, model, price)
) WITHOUT ROWID;
