-- Version 1 to 2: deposits come back, at a fee.
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
