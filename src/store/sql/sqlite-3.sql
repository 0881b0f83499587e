-- Version 2 to 3: the shape that PostgreSQL has too (every row says whose it is; a file has one node, number 1), payment
-- requests, what a person set while the node ran, the ledger transaction of a line of the journal, and out of the bodies
-- what is added up or looked for.
DROP VIEW balances;
DROP INDEX hops_at;
DROP INDEX payments_at;
DROP INDEX events_link;

CREATE TABLE nodes (
    node INTEGER PRIMARY KEY, account BLOB NOT NULL UNIQUE CHECK (length(account) = 32)
) STRICT;

ALTER TABLE links RENAME TO links_2;
CREATE TABLE links (
    node INTEGER NOT NULL, id BLOB NOT NULL, role TEXT NOT NULL, deposit INTEGER NOT NULL, since_ms INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
INSERT INTO links SELECT 1, id, role, deposit, since_ms, body FROM links_2;
DROP TABLE links_2;

ALTER TABLE escrows RENAME TO escrows_2;
CREATE TABLE escrows (
    node INTEGER NOT NULL, escrow BLOB NOT NULL, link BLOB NOT NULL, role TEXT NOT NULL, state TEXT NOT NULL,
    deposit INTEGER NOT NULL CHECK (deposit >= 0),
    total INTEGER NOT NULL CHECK (total >= 0),
    landed INTEGER NOT NULL CHECK (landed >= 0),
    returned INTEGER NOT NULL CHECK (returned >= 0),
    netted INTEGER NOT NULL CHECK (netted >= 0),
    epoch INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, escrow)
) STRICT, WITHOUT ROWID;
INSERT INTO escrows SELECT 1, escrow, link, role, state, deposit, total, landed,
    coalesce(json_extract(body, '$.returned'), 0), 0, epoch, body FROM escrows_2;
DROP TABLE escrows_2;
CREATE INDEX escrows_link ON escrows (node, link);

ALTER TABLE hops RENAME TO hops_2;
CREATE TABLE hops (
    node INTEGER NOT NULL, hop BLOB NOT NULL, at INTEGER NOT NULL,
    amount_in INTEGER NOT NULL, amount_out INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, hop)
) STRICT, WITHOUT ROWID;
INSERT INTO hops SELECT 1, hop, at, amount_in, amount_out, body FROM hops_2;
DROP TABLE hops_2;
CREATE INDEX hops_at ON hops (node, at);

ALTER TABLE payments RENAME TO payments_2;
CREATE TABLE payments (
    node INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, service TEXT NOT NULL,
    site TEXT, total INTEGER NOT NULL CHECK (total >= 0), body TEXT NOT NULL, PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
INSERT INTO payments SELECT 1, id, at, state, service, json_extract(body, '$.site'), total, body FROM payments_2;
DROP TABLE payments_2;
CREATE INDEX payments_at ON payments (node, at);

CREATE TABLE requests (
    node INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, site TEXT,
    due INTEGER NOT NULL CHECK (due >= 0), outcome TEXT NOT NULL, code TEXT, PRIMARY KEY (node, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_at ON requests (node, at);

CREATE TABLE settings (
    node INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE events ADD COLUMN node INTEGER NOT NULL DEFAULT 1;
ALTER TABLE events ADD COLUMN tx BLOB;
-- `INSERT OR REPLACE` deletes without the trigger of deletions.
CREATE TRIGGER events_new BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE INDEX events_at ON events (node, at);
CREATE INDEX events_tx ON events (node, seq) WHERE tx IS NOT NULL;

CREATE VIEW balances AS SELECT
    node, link,
    SUM(CASE WHEN what IN ('claim_signed', 'claim_adopted') THEN amount ELSE 0 END) AS signed,
    SUM(CASE what WHEN 'claim_accepted' THEN amount WHEN 'lock_lost' THEN -amount ELSE 0 END) AS credited,
    SUM(CASE WHEN what = 'flush_landed' THEN amount ELSE 0 END) AS flushed,
    SUM(CASE WHEN what = 'landing_seen' THEN amount ELSE 0 END) AS seen,
    SUM(CASE WHEN what = 'escrow_reclaimed' THEN amount ELSE 0 END) AS returned,
    SUM(CASE WHEN what = 'netted' THEN amount ELSE 0 END) AS netted,
    SUM(CASE WHEN what IN ('escrow_created', 'escrow_funded', 'escrow_failed', 'flush_landed', 'flush_failed',
        'escrow_refunded', 'refund_failed', 'escrow_reclaimed', 'reclaim_failed') THEN fee ELSE 0 END) AS fees
    FROM events WHERE link IS NOT NULL GROUP BY node, link;
