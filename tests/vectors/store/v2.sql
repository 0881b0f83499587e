-- A store of version 2 with rows as its programs wrote them; of its journal one number was never used.
PRAGMA application_id = 1297577521;
PRAGMA user_version = 2;
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
DROP VIEW balances;
CREATE VIEW balances AS SELECT
    link,
    SUM(CASE WHEN what IN ('claim_signed', 'claim_adopted') THEN amount ELSE 0 END) AS signed,
    SUM(CASE WHEN what = 'claim_accepted' THEN amount ELSE 0 END) AS credited,
    SUM(CASE WHEN what = 'flush_landed' THEN amount ELSE 0 END) AS flushed,
    SUM(CASE WHEN what = 'landing_seen' THEN amount ELSE 0 END) AS seen,
    SUM(CASE WHEN what = 'escrow_reclaimed' THEN amount ELSE 0 END) AS returned,
    SUM(CASE WHEN what IN ('escrow_created', 'escrow_funded', 'escrow_failed', 'flush_landed', 'flush_failed',
        'escrow_refunded', 'refund_failed', 'escrow_reclaimed', 'reclaim_failed') THEN fee ELSE 0 END) AS fees
    FROM events WHERE link IS NOT NULL GROUP BY link;
INSERT INTO links VALUES (X'01010101010101010101010101010101', 'payer', 1000, 1, '{"id":"01010101010101010101010101010101","role":"payer","partner":{"relay":"0101010101010101010101010101010101010101"},"dials":true,"account":"0101010101010101010101010101010101010101010101010101010101010101","signer":"0202020202020202020202020202020202020202020202020202020202020202","key":"0303030303030303030303030303030303030303030303030303030303030303","tag":"0101010101010101","deposit":1000,"period":600,"since_ms":1,"dropped":false,"closing":true,"by_period":true}');
INSERT INTO escrows VALUES (X'0101010101010101010101010101010101010101010101010101010101010101', X'01010101010101010101010101010101', 'payer', 'open', 1000, 50, 20, 0, '{"escrow":"0101010101010101010101010101010101010101010101010101010101010101","link":"01010101010101010101010101010101","role":"payer","index":1,"created":0,"deposit":1000,"period":600,"state":{"is":"open"},"refund":"09090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909","seq_time":0,"landed":20,"total":50,"epoch":0,"held":{"cumulative":0,"signature":null},"frozen":null,"carry":null,"flushed":null,"spans":[],"recent":[],"clock":0,"returned":null,"refund_fee":0,"forwarded":0}');
INSERT INTO escrows VALUES (X'0202020202020202020202020202020202020202020202020202020202020202', X'01010101010101010101010101010101', 'payer', 'spent', 1000, 20, 20, 0, '{"escrow":"0202020202020202020202020202020202020202020202020202020202020202","link":"01010101010101010101010101010101","role":"payer","index":2,"created":0,"deposit":1000,"period":600,"state":{"is":"spent"},"refund":"09090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909090909","seq_time":0,"landed":20,"total":20,"epoch":0,"held":{"cumulative":0,"signature":null},"frozen":null,"carry":null,"flushed":null,"spans":[],"recent":[],"clock":0,"returned":980,"refund_fee":0,"forwarded":0}');
INSERT INTO hops VALUES (X'01010101010101010101010101010101', 1, 9, 8, '{"hop_id":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"amount_in":9,"amount_out":8,"reply":[1,2],"at":1,"session":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}');
INSERT INTO payments VALUES (X'01010101010101010101010101010101', 432000000, 'complete', 'http', 77, '{"id":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"at":432000000,"state":"complete","service":"http","site":"example.org:80","total":77,"payees":[{"account":[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4],"name":"guard","due":77,"fee":0}],"create_ms":1,"sign_ms":2,"deliver_ms":3}');
INSERT INTO payments VALUES (X'02020202020202020202020202020202', 432000000, 'complete', 'tor', 5, '{"id":[2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2],"at":432000000,"state":"complete","service":"tor","site":null,"total":5,"payees":[{"account":[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4],"name":"guard","due":5,"fee":0}],"create_ms":1,"sign_ms":2,"deliver_ms":3}');
INSERT INTO events VALUES (1, 5, 'claim_signed', X'01010101010101010101010101010101', X'07070707070707070707070707070707', 30, 0);
INSERT INTO events VALUES (2, 5, 'claim_signed', X'01010101010101010101010101010101', X'07070707070707070707070707070707', 40, 0);
INSERT INTO events VALUES (3, 5, 'landing_seen', X'01010101010101010101010101010101', NULL, 40, 0);
INSERT INTO events VALUES (5, 5, 'escrow_funded', X'01010101010101010101010101010101', NULL, 1000, 3);
INSERT INTO events VALUES (6, 5, 'escrow_refunded', X'01010101010101010101010101010101', NULL, 0, 200);
INSERT INTO events VALUES (7, 5, 'escrow_reclaimed', X'01010101010101010101010101010101', NULL, 980, 300);
