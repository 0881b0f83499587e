//! Whatever comes in: coins stay, nothing panics.
use crate::ledger_engine::{START, funded, id, key, muxed, op, seq, signed, tx};
use magicwave::devnet::ledger::xdr::{self, OperationBody as Body};
use magicwave::devnet::ledger::{Frame, Ledger, Submission, entry};
use proptest::prelude::*;

const ACCOUNTS: u8 = 5;

fn account(n: u8) -> xdr::AccountId {
    entry::account_id(&id(&key(n)))
}

fn credit(issuer: u8) -> xdr::AlphaNum4 {
    xdr::AlphaNum4 { asset_code: xdr::AssetCode4(*b"MWT\0"), issuer: account(issuer) }
}

fn asset() -> impl Strategy<Value = xdr::Asset> {
    prop_oneof![
        2 => Just(xdr::Asset::Native),
        1 => (1..=ACCOUNTS).prop_map(|n| xdr::Asset::CreditAlphanum4(credit(n))),
    ]
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![0..100i64, 0..2_000_000_000i64, Just(i64::MAX), Just(-1)]
}

fn predicate() -> impl Strategy<Value = xdr::ClaimPredicate> {
    let leaf = prop_oneof![
        Just(xdr::ClaimPredicate::Unconditional),
        (0..100i64).prop_map(xdr::ClaimPredicate::BeforeRelativeTime),
        (0..100i64).prop_map(|t| xdr::ClaimPredicate::BeforeAbsoluteTime(1_800_000_000 + t)),
    ];
    leaf.prop_recursive(5, 16, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|p| xdr::ClaimPredicate::Not(Some(Box::new(p)))),
            (inner.clone(), inner).prop_map(|(a, b)| { xdr::ClaimPredicate::Or(vec![a, b].try_into().expect("two")) }),
        ]
    })
}

fn money() -> impl Strategy<Value = Body> {
    let who = 1..=ACCOUNTS + 2;
    prop_oneof![
        (who.clone(), amount()).prop_map(|(n, starting_balance)| {
            Body::CreateAccount(xdr::CreateAccountOp { destination: account(n), starting_balance })
        }),
        (who.clone(), asset(), amount()).prop_map(|(n, asset, amount)| {
            Body::Payment(xdr::PaymentOp { destination: muxed(&key(n)), asset, amount })
        }),
        who.clone().prop_map(|n| Body::AccountMerge(muxed(&key(n)))),
        (who.clone(), amount()).prop_map(|(n, limit)| {
            let line = xdr::ChangeTrustAsset::CreditAlphanum4(credit(n));
            Body::ChangeTrust(xdr::ChangeTrustOp { line, limit })
        }),
        (who, asset(), amount(), predicate()).prop_map(|(n, asset, amount, predicate)| {
            let claimant = xdr::ClaimantV0 { destination: account(n), predicate };
            let claimants = vec![xdr::Claimant::ClaimantTypeV0(claimant)].try_into().expect("one");
            Body::CreateClaimableBalance(xdr::CreateClaimableBalanceOp { asset, amount, claimants })
        }),
    ]
}

fn powers() -> impl Strategy<Value = Body> {
    let who = 1..=ACCOUNTS + 2;
    prop_oneof![
        (who.clone(), 0..3u32, proptest::option::of(0..8u32)).prop_map(|(n, weight, set_flags)| {
            let key = xdr::SignerKey::Ed25519(xdr::Uint256(id(&key(n))));
            Body::SetOptions(xdr::SetOptionsOp {
                inflation_dest: None,
                clear_flags: None,
                set_flags: set_flags.filter(|f| f & 4 == 0),
                master_weight: None,
                low_threshold: None,
                med_threshold: None,
                high_threshold: None,
                home_domain: None,
                signer: Some(xdr::Signer { key, weight }),
            })
        }),
        (0..i64::MAX).prop_map(|n| Body::BumpSequence(xdr::BumpSequenceOp { bump_to: xdr::SequenceNumber(n >> 24) })),
        (0..3u8, any::<bool>()).prop_map(|(n, put)| {
            let data_name = xdr::String64(vec![b'a' + n].try_into().expect("short"));
            let data_value = put.then(|| xdr::DataValue(vec![n].try_into().expect("short")));
            Body::ManageData(xdr::ManageDataOp { data_name, data_value })
        }),
        who.clone().prop_map(|n| {
            Body::BeginSponsoringFutureReserves(xdr::BeginSponsoringFutureReservesOp { sponsored_id: account(n) })
        }),
        Just(Body::EndSponsoringFutureReserves),
        who.clone().prop_map(|n| {
            let key = xdr::LedgerKey::Account(xdr::LedgerKeyAccount { account_id: account(n) });
            Body::RevokeSponsorship(xdr::RevokeSponsorshipOp::LedgerEntry(key))
        }),
        (who.clone(), 1..=ACCOUNTS).prop_map(|(n, issuer)| {
            let asset = xdr::TrustLineAsset::CreditAlphanum4(credit(issuer));
            let key = xdr::LedgerKey::Trustline(xdr::LedgerKeyTrustLine { account_id: account(n), asset });
            Body::RevokeSponsorship(xdr::RevokeSponsorshipOp::LedgerEntry(key))
        }),
        (who, 1..=ACCOUNTS, amount()).prop_map(|(n, issuer, amount)| {
            let asset = xdr::Asset::CreditAlphanum4(credit(issuer));
            Body::Clawback(xdr::ClawbackOp { asset, from: muxed(&key(n)), amount })
        }),
    ]
}

#[derive(Clone, Debug)]
struct Plan {
    source: u8,
    ops: Vec<(Option<u8>, Body)>,
    signers: Vec<u8>,
    seq_off: i64,
    claim: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let body = prop_oneof![3 => money(), 2 => powers()];
    let ops = proptest::collection::vec((proptest::option::of(1..=ACCOUNTS), body), 1..5);
    let right = prop_oneof![9 => Just(true), 1 => Just(false)];
    let seq_off = prop_oneof![9 => Just(0i64), 1 => -1..3i64];
    (1..=ACCOUNTS, ops, right, seq_off, any::<bool>()).prop_map(|(source, ops, right, seq_off, claim)| {
        let mut signers: Vec<u8> = ops.iter().filter_map(|(s, _)| *s).chain([source]).collect();
        signers.sort_unstable();
        signers.dedup();
        if !right {
            signers.pop();
        }
        Plan { source, ops, signers, seq_off, claim }
    })
}

// Sponsorships on both sides of the books, and subentries, reckoned from the entries themselves.
fn books_agree(ledger: &Ledger) -> Result<(), TestCaseError> {
    let state = ledger.state();
    let (mut sponsoring, mut sponsored) = (0u64, 0u64);
    for (_, account) in state.accounts.iter() {
        sponsoring += u64::from(account.sponsoring);
        sponsored += u64::from(account.sponsored);
        let entries = state.trust_of(&account.id).count() + state.data_of(&account.id).count() + account.signers.len();
        prop_assert_eq!(account.subentries as usize, entries);
        prop_assert!(account.balance >= 0);
    }
    let claimables: u64 = state.claimables.iter().map(|(_, c)| c.claimants.len() as u64).sum();
    prop_assert_eq!(sponsoring, sponsored + claimables);
    prop_assert!(state.trust.iter().all(|(_, t)| (0..=t.limit).contains(&t.balance)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn coins_stay_constant_under_random_operations(plans in proptest::collection::vec(plan(), 1..25)) {
        let mut ledger = funded(ACCOUNTS);
        let total = ledger.header().total_coins;
        for (step, plan) in plans.into_iter().enumerate() {
            let source = key(plan.source);
            let mut ops: Vec<_> =
                plan.ops.into_iter().map(|(from, body)| op(from.map(key).as_ref(), body)).collect();
            if plan.claim && let Some((balance, _)) = ledger.state().claimables.iter().next() {
                let balance_id = xdr::ClaimableBalanceId::ClaimableBalanceIdTypeV0(xdr::Hash(*balance));
                ops.push(op(None, Body::ClaimClaimableBalance(xdr::ClaimClaimableBalanceOp { balance_id })));
            }
            let fee = 100 * u32::try_from(ops.len()).expect("few");
            let next = seq(&ledger, &source).saturating_add(1 + plan.seq_off);
            let keys: Vec<_> = plan.signers.iter().map(|n| key(*n)).collect();
            let refs: Vec<_> = keys.iter().collect();
            let envelope = signed(ledger.network_id(), tx(&source, next, fee, ops), &refs);
            let frame = Frame::from_envelope(xdr::TransactionEnvelope::Tx(envelope), ledger.network_id())
                .expect("an envelope");
            if ledger.submit(frame, 2) == Submission::Pending {
                let closed = ledger.close(START + 10 + step as u64);
                prop_assert_eq!(closed.transactions.len(), 1);
            }
            let held = ledger.state().native_total().expect("in range");
            prop_assert_eq!(held + ledger.header().fee_pool, total);
            books_agree(&ledger)?;
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let ledger = funded(1);
        let _ = Frame::from_bytes(&bytes, ledger.network_id());
        let _ = Frame::parse(&String::from_utf8_lossy(&bytes), ledger.network_id());
    }

    #[test]
    fn a_damaged_envelope_never_panics(at in 0usize..400, to in any::<u8>(), cut in 0usize..400) {
        let mut ledger = funded(2);
        let source = key(1);
        let next = seq(&ledger, &source) + 1;
        let ops = vec![
            op(Some(&key(2)), Body::AccountMerge(muxed(&source))),
            op(None, Body::CreateAccount(xdr::CreateAccountOp { destination: account(9), starting_balance: 5 })),
        ];
        let envelope = signed(ledger.network_id(), tx(&source, next, 200, ops), &[&source, &key(2)]);
        let mut bytes = Frame::from_envelope(xdr::TransactionEnvelope::Tx(envelope), ledger.network_id())
            .expect("an envelope").bytes;
        let at = at % bytes.len();
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut.min(bytes.len()) % 3);
        if let Ok(frame) = Frame::from_bytes(&bytes, ledger.network_id()) {
            ledger.submit(frame, 2);
            ledger.close(START + 10);
        }
        let total = ledger.header().total_coins;
        prop_assert_eq!(ledger.state().native_total().expect("in range") + ledger.header().fee_pool, total);
    }
}
