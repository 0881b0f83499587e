//! Reasons for a no: stable numbers, names, texts and what to do next. `docs/wire.md` lists the same table.
use super::message::{Id, Refusal, RefusalCode};

/// What the receiver of a refusal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// The same message may succeed later: wait `retry_ms`, then send it again.
    Later,
    /// Not with this message; a new offer, request or attempt may work.
    Renew,
    /// Not with this payee or on this path.
    Never,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The number on the wire.
    pub code: RefusalCode,
    /// Stable name for logs, JSON and the documentation.
    pub name: &'static str,
    /// What to do next.
    pub retry: RetryClass,
    /// For a person, one sentence.
    pub text: &'static str,
}

macro_rules! reasons {
    ($($code:literal $upper:ident $name:literal $retry:ident $text:literal;)*) => {
        impl RefusalCode {
            $(#[doc = $text] pub const $upper: RefusalCode = RefusalCode($code);)*
        }
        /// Every known reason, by ascending number.
        pub const REASONS: &[Reason] = &[
            $(Reason { code: RefusalCode::$upper, name: $name, retry: RetryClass::$retry, text: $text },)*
        ];
    };
}

reasons! {
    1 UNKNOWN_TYPE "unknown_type" Never "The message type is not known here.";
    2 BAD_VERSION "bad_version" Never "The protocol version is not spoken here.";
    3 MALFORMED "malformed" Never "The message does not have the form that its type asks for.";
    4 UNEXPECTED "unexpected" Never "The message is known but has no place here: wrong direction or wrong moment.";
    5 BUSY "busy" Later "Too much is in flight just now; try again soon.";
    6 INTERNAL "internal" Later "Something failed on this side; nothing was signed.";
    20 WRONG_NETWORK "wrong_network" Never "The ledger network is another one.";
    21 WRONG_ASSET "wrong_asset" Never "The asset is another one.";
    22 WRONG_KIND "wrong_kind" Never "The service kind is another one than the session's.";
    23 BAD_PRICE "bad_price" Never "A price or fee is not in the table of permitted values.";
    24 BAD_NONCE "bad_nonce" Renew "The offer does not answer the hello that was sent.";
    25 EXPIRED "expired" Renew "The offer or the request has expired.";
    26 NOT_YET "not_yet" Renew "The message is dated in the future, or is valid for longer than permitted.";
    27 SESSION_UNKNOWN "session_unknown" Renew "The session is not known here, or no longer.";
    28 BAD_MAC "bad_mac" Never "The authentication code does not verify.";
    29 OFFER_MISMATCH "offer_mismatch" Renew "The request names another offer than the agreed one.";
    30 STAMP_MISMATCH "stamp_mismatch" Never "The cell counts of payee and payer differ.";
    31 UNITS_ABOVE "units_above" Renew "The request counts more than the payer counted.";
    32 WENT_BACKWARDS "went_backwards" Never "A cumulative number is lower than before.";
    33 AMOUNT_ABOVE "amount_above" Renew "The amount is more than the price of what was counted plus what may be paid ahead.";
    34 AMOUNT_BELOW "amount_below" Renew "The amount is less than asked, or less than an earlier one.";
    35 NOT_PAID "not_paid" Renew "What was paid does not cover this.";
    50 NO_LINK "no_link" Renew "There is no link to the next payee.";
    51 NO_CAPACITY "no_capacity" Renew "The link has no capacity for this amount; take another route or pay this hop alone.";
    52 HOP_UNKNOWN "hop_unknown" Renew "No payment of this name is known here.";
    53 DUPLICATE_CONFLICT "duplicate_conflict" Never "A message of this name came before with other contents.";
    54 BAD_SEAL "bad_seal" Never "What was carried does not open under the link's key.";
    55 EPOCH "epoch" Renew "The claim is for another epoch than the open one.";
    56 CLAIM_INVALID "claim_invalid" Never "The claim's signature does not verify over the transaction rebuilt here.";
    57 DEPOSIT_EXCEEDED "deposit_exceeded" Renew "The claim is for more than the escrow holds.";
    58 FEE_ABOVE "fee_above" Renew "The forwarding fee is more than the agreed offer says.";
    59 TIMED_OUT "timed_out" Renew "The payment took too long and was given up.";
    60 LOCK_INVALID "lock_invalid" Never "The lock or its pre-signature is not what it should be.";
    61 LOCK_STALE "lock_stale" Renew "What the lock stands on has risen; the claim has to be asked for again.";
    62 LOCK_TIME "lock_time" Renew "The lock ends too soon or too late.";
    70 LINK_UNKNOWN "link_unknown" Renew "The link is not known here.";
    71 ESCROW_INVALID "escrow_invalid" Never "The escrow account on the ledger is not what the protocol asks for.";
    72 ESCROW_PENDING "escrow_pending" Later "The escrow is not open yet.";
    73 DEPOSIT_REFUSED "deposit_refused" Never "The deposit or the period is outside of what this node accepts.";
    74 FLUSH_PENDING "flush_pending" Later "The epoch is frozen for a flush.";
    90 PRICE_CEILING "price_ceiling" Never "The price is above the payer's ceiling.";
    91 BUDGET_DAY "budget_day" Never "The payer's budget for the day is used up.";
    92 BUDGET_SITE "budget_site" Never "The payer's budget for this site is used up for the day.";
    93 BUDGET_KIND "budget_kind" Never "The payer's budget for this kind of service is used up for the day.";
    94 NO_FUNDS "no_funds" Later "The payer's wallet does not hold enough.";
    95 APPROVAL_WANTED "approval_wanted" Later "A person is asked whether to pay this, and has not answered yet.";
    96 NOT_ALLOWED "not_allowed" Never "The payer's rules, or the payer when asked, say no to this payment.";
    97 CIRCUIT_UNPAID "circuit_unpaid" Renew "The circuit has a hop that is not to be paid, so nobody is paid on it; take another circuit.";
    98 NO_CIRCUIT "no_circuit" Later "Circuit after circuit had a hop that is not to be paid; for a while none is given up for another.";
}

impl RefusalCode {
    /// The row of the table, if this version knows the number.
    pub fn reason(self) -> Option<&'static Reason> {
        REASONS.binary_search_by_key(&self.0, |r| r.code.0).ok().and_then(|i| REASONS.get(i))
    }
    /// Stable name, `unknown` for a number of a later version.
    pub fn name(self) -> &'static str {
        self.reason().map_or("unknown", |r| r.name)
    }
    /// Sentence for a person.
    pub fn text(self) -> &'static str {
        self.reason().map_or("Refused for a reason that this version does not know.", |r| r.text)
    }
    /// What to do next; an unknown reason is final for the message at hand.
    pub fn retry(self) -> RetryClass {
        self.reason().map_or(RetryClass::Renew, |r| r.retry)
    }
    /// A refusal of `subject` for this reason, with the usual pause for reasons that pass.
    pub fn refuse(self, subject: Id) -> Refusal {
        let retry_ms = if self.retry() == RetryClass::Later { RETRY_MS } else { 0 };
        Refusal { subject, code: self, retry_ms }
    }
}

/// Pause that a refusal of class `Later` asks for when its sender knows nothing better.
pub const RETRY_MS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_number_and_names_are_unique() {
        for pair in REASONS.windows(2) {
            assert!(pair[0].code.0 < pair[1].code.0, "{} stands out of order", pair[1].name);
        }
        let mut names: Vec<_> = REASONS.iter().map(|r| r.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REASONS.len());
        for reason in REASONS {
            assert_eq!(reason.code.reason(), Some(reason));
        }
        assert_eq!(RefusalCode(65_000).name(), "unknown");
    }

    #[test]
    fn only_passing_reasons_ask_for_the_same_message_again() {
        assert!(RefusalCode::BUSY.refuse([0; 16]).retry_ms > 0);
        assert_eq!(RefusalCode::CLAIM_INVALID.refuse([0; 16]).retry_ms, 0);
        assert_eq!(RefusalCode(65_000).refuse([0; 16]).retry_ms, 0);
    }
}
