-- The tables of version 3, the first that PostgreSQL has; the same as SQLite's at that version.
CREATE TABLE magicwave (version BIGINT NOT NULL);
INSERT INTO magicwave VALUES (3);
CREATE TABLE nodes (
    node BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY, account BYTEA NOT NULL UNIQUE CHECK (length(account) = 32)
);
CREATE TABLE links (
    node BIGINT NOT NULL, id BYTEA NOT NULL, role TEXT NOT NULL, deposit BIGINT NOT NULL,
    since_ms BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, id)
);
CREATE TABLE escrows (
    node BIGINT NOT NULL, escrow BYTEA NOT NULL, link BYTEA NOT NULL, role TEXT NOT NULL,
    state TEXT NOT NULL,
    deposit BIGINT NOT NULL CHECK (deposit >= 0),
    total BIGINT NOT NULL CHECK (total >= 0),
    landed BIGINT NOT NULL CHECK (landed >= 0),
    returned BIGINT NOT NULL CHECK (returned >= 0),
    netted BIGINT NOT NULL CHECK (netted >= 0),
    epoch BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, escrow)
);
CREATE INDEX escrows_link ON escrows (node, link);
CREATE TABLE hops (
    node BIGINT NOT NULL, hop BYTEA NOT NULL, at BIGINT NOT NULL,
    amount_in BIGINT NOT NULL, amount_out BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, hop)
);
CREATE INDEX hops_at ON hops (node, at);
CREATE TABLE payments (
    node BIGINT NOT NULL, id BYTEA NOT NULL, at BIGINT NOT NULL, state TEXT NOT NULL,
    service TEXT NOT NULL, site TEXT, total BIGINT NOT NULL CHECK (total >= 0), body TEXT NOT NULL,
    PRIMARY KEY (node, id)
);
CREATE INDEX payments_at ON payments (node, at);
CREATE TABLE requests (
    node BIGINT NOT NULL, id BYTEA NOT NULL, at BIGINT NOT NULL, kind TEXT NOT NULL,
    who TEXT NOT NULL, site TEXT, due BIGINT NOT NULL CHECK (due >= 0), outcome TEXT NOT NULL, code TEXT,
    PRIMARY KEY (node, id)
);
CREATE INDEX requests_at ON requests (node, at);
CREATE TABLE settings (
    node BIGINT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (node, name)
);
CREATE TABLE events (
    seq BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY, at BIGINT NOT NULL, what TEXT NOT NULL, link BYTEA,
    hop BYTEA, amount BIGINT NOT NULL CHECK (amount >= 0), fee BIGINT NOT NULL CHECK (fee >= 0),
    node BIGINT NOT NULL, tx BYTEA
);
CREATE INDEX events_at ON events (node, at);
CREATE INDEX events_tx ON events (node, seq) WHERE tx IS NOT NULL;
CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the journal only grows'; END
$$;
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_stay();
CREATE VIEW balances AS SELECT
    node, link,
    CAST(SUM(CASE WHEN what IN ('claim_signed', 'claim_adopted') THEN amount ELSE 0 END) AS BIGINT) AS signed,
    CAST(SUM(CASE what WHEN 'claim_accepted' THEN amount WHEN 'lock_lost' THEN -amount ELSE 0 END) AS BIGINT) AS credited,
    CAST(SUM(CASE WHEN what = 'flush_landed' THEN amount ELSE 0 END) AS BIGINT) AS flushed,
    CAST(SUM(CASE WHEN what = 'landing_seen' THEN amount ELSE 0 END) AS BIGINT) AS seen,
    CAST(SUM(CASE WHEN what = 'escrow_reclaimed' THEN amount ELSE 0 END) AS BIGINT) AS returned,
    CAST(SUM(CASE WHEN what = 'netted' THEN amount ELSE 0 END) AS BIGINT) AS netted,
    CAST(SUM(CASE WHEN what IN ('escrow_created', 'escrow_funded', 'escrow_failed', 'flush_landed', 'flush_failed',
        'escrow_refunded', 'refund_failed', 'escrow_reclaimed', 'reclaim_failed') THEN fee ELSE 0 END) AS BIGINT) AS fees
    FROM events WHERE link IS NOT NULL GROUP BY node, link;
