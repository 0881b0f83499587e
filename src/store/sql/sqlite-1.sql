-- The tables of version 1. What was released never changes; a change is a file of its own.
CREATE TABLE links (
    id BLOB PRIMARY KEY NOT NULL, role TEXT NOT NULL, deposit INTEGER NOT NULL, since_ms INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE escrows (
    escrow BLOB PRIMARY KEY NOT NULL, link BLOB NOT NULL, role TEXT NOT NULL, state TEXT NOT NULL,
    deposit INTEGER NOT NULL CHECK (deposit >= 0),
    total INTEGER NOT NULL CHECK (total >= 0),
    landed INTEGER NOT NULL CHECK (landed >= 0),
    epoch INTEGER NOT NULL, body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE hops (
    hop BLOB PRIMARY KEY NOT NULL, at INTEGER NOT NULL,
    amount_in INTEGER NOT NULL, amount_out INTEGER NOT NULL, body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hops_at ON hops (at);
CREATE TABLE payments (
    id BLOB PRIMARY KEY NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, service TEXT NOT NULL,
    total INTEGER NOT NULL CHECK (total >= 0), body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_at ON payments (at);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, what TEXT NOT NULL, link BLOB, hop BLOB,
    amount INTEGER NOT NULL CHECK (amount >= 0), fee INTEGER NOT NULL CHECK (fee >= 0)
) STRICT;
CREATE INDEX events_link ON events (link, what);
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE TRIGGER events_keep BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;
CREATE VIEW balances AS SELECT
    link,
    SUM(CASE WHEN what IN ('claim_signed', 'claim_adopted') THEN amount ELSE 0 END) AS signed,
    SUM(CASE WHEN what = 'claim_accepted' THEN amount ELSE 0 END) AS credited,
    SUM(CASE WHEN what = 'flush_landed' THEN amount ELSE 0 END) AS flushed,
    SUM(CASE WHEN what = 'landing_seen' THEN amount ELSE 0 END) AS seen,
    SUM(CASE WHEN what IN ('escrow_created', 'escrow_funded', 'escrow_failed', 'flush_landed', 'flush_failed')
        THEN fee ELSE 0 END) AS fees
    FROM events WHERE link IS NOT NULL GROUP BY link;
