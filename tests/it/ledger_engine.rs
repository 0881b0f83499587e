//! The engine from outside: build, sign, submit, close.
use ed25519_dalek::{Signer as _, SigningKey};
use magicwave::devnet::ledger::xdr::{self, OperationBody as Body};
use magicwave::devnet::ledger::{Closed, Frame, Genesis, Ledger, Submission, TxError, Verdict, entry, view};

pub const PASSPHRASE: &str = "Test Ledger ; November 2026";
pub const START: u64 = 1_800_000_000;

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub fn id(key: &SigningKey) -> entry::Id {
    key.verifying_key().to_bytes()
}

pub fn muxed(key: &SigningKey) -> xdr::MuxedAccount {
    xdr::MuxedAccount::Ed25519(xdr::Uint256(id(key)))
}

pub fn op(source: Option<&SigningKey>, body: Body) -> xdr::Operation {
    xdr::Operation { source_account: source.map(muxed), body }
}

pub fn tx(source: &SigningKey, seq: i64, fee: u32, ops: Vec<xdr::Operation>) -> xdr::Transaction {
    xdr::Transaction {
        source_account: muxed(source),
        fee,
        seq_num: xdr::SequenceNumber(seq),
        cond: xdr::Preconditions::None,
        memo: xdr::Memo::None,
        operations: ops.try_into().expect("at most 100"),
        ext: xdr::TransactionExt::V0,
    }
}

fn decorated(hash: &[u8; 32], signers: &[&SigningKey]) -> xdr::VecM<xdr::DecoratedSignature, 20> {
    let sign = |key: &&SigningKey| {
        let hint: [u8; 4] = id(key)[28..].try_into().expect("four bytes");
        let signature = key.sign(hash).to_bytes().to_vec().try_into().expect("64 bytes");
        xdr::DecoratedSignature { hint: xdr::SignatureHint(hint), signature: xdr::Signature(signature) }
    };
    signers.iter().map(sign).collect::<Vec<_>>().try_into().expect("at most 20")
}

pub fn signed(network: &[u8; 32], tx: xdr::Transaction, signers: &[&SigningKey]) -> xdr::TransactionV1Envelope {
    let bare = xdr::TransactionV1Envelope { tx: tx.clone(), signatures: xdr::VecM::default() };
    let hash = Frame::from_envelope(xdr::TransactionEnvelope::Tx(bare), network).expect("an envelope").hash();
    xdr::TransactionV1Envelope { tx, signatures: decorated(&hash, signers) }
}

pub fn frame(ledger: &Ledger, tx: xdr::Transaction, signers: &[&SigningKey]) -> Frame {
    let envelope = signed(ledger.network_id(), tx, signers);
    Frame::from_envelope(xdr::TransactionEnvelope::Tx(envelope), ledger.network_id()).expect("an envelope")
}

pub fn bump(ledger: &Ledger, payer: &SigningKey, fee: i64, inner: xdr::TransactionV1Envelope) -> Frame {
    let tx = xdr::FeeBumpTransaction {
        fee_source: muxed(payer),
        fee,
        inner_tx: xdr::FeeBumpTransactionInnerTx::Tx(inner),
        ext: xdr::FeeBumpTransactionExt::V0,
    };
    let wrap = |signatures| {
        let outer = xdr::FeeBumpTransactionEnvelope { tx: tx.clone(), signatures };
        Frame::from_envelope(xdr::TransactionEnvelope::TxFeeBump(outer), ledger.network_id()).expect("an envelope")
    };
    let hash = wrap(xdr::VecM::default()).hash();
    wrap(decorated(&hash, &[payer]))
}

pub fn create(to: &SigningKey, balance: i64) -> Body {
    Body::CreateAccount(xdr::CreateAccountOp { destination: entry::account_id(&id(to)), starting_balance: balance })
}

pub fn pay(to: &SigningKey, amount: i64) -> Body {
    Body::Payment(xdr::PaymentOp { destination: muxed(to), asset: xdr::Asset::Native, amount })
}

pub fn seq(ledger: &Ledger, key: &SigningKey) -> i64 {
    ledger.state().accounts.get(&id(key)).map_or(0, |a| a.seq)
}

pub fn balance(ledger: &Ledger, key: &SigningKey) -> i64 {
    ledger.state().accounts.get(&id(key)).map_or(0, |a| a.balance)
}

/// A ledger with accounts 1..=n of 1000 coins each, at ledger 2.
pub fn funded(n: u8) -> Ledger {
    let genesis = Genesis::standalone(PASSPHRASE, START);
    let root = genesis.root_key();
    let mut ledger = Ledger::new(&genesis);
    let ops: Vec<_> = (1..=n).map(|i| op(None, create(&key(i), 10_000_000_000))).collect();
    let fee = 100 * u32::from(n);
    let frame = frame(&ledger, tx(&root, 1, fee, ops), &[&root]);
    assert_eq!(ledger.submit(frame, 2), Submission::Pending);
    let closed = ledger.close(START + 5);
    assert!(closed.transactions[0].outcome.is_success());
    ledger
}

fn submit(ledger: &mut Ledger, frame: Frame) -> Submission {
    ledger.submit(frame, 2)
}

fn one(closed: Closed) -> Verdict {
    closed.transactions.into_iter().next().expect("one transaction").outcome.verdict
}

fn error(submission: Submission) -> TxError {
    match submission {
        Submission::Refused(outcome) => match outcome.verdict {
            Verdict::Error(error) => error,
            other => panic!("not an error before the operations: {other:?}"),
        },
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_payment_moves_its_amount_and_costs_the_base_fee_however_much_was_offered() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let next = seq(&ledger, &a) + 1;
    let payment = frame(&ledger, tx(&a, next, 5_000, vec![op(None, pay(&b, 7))]), &[&a]);
    assert_eq!(submit(&mut ledger, payment), Submission::Pending);
    assert!(matches!(one(ledger.close(START + 6)), Verdict::Success(_)));
    assert_eq!(balance(&ledger, &a), 10_000_000_000 - 107);
    assert_eq!(balance(&ledger, &b), 10_000_000_007);
    assert_eq!(ledger.header().fee_pool, 200 + 100);
}

#[test]
fn a_second_transaction_of_the_same_source_waits_for_the_next_ledger() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let next = seq(&ledger, &a) + 1;
    let first = frame(&ledger, tx(&a, next, 100, vec![op(None, pay(&b, 1))]), &[&a]);
    let second = frame(&ledger, tx(&a, next + 1, 100, vec![op(None, pay(&b, 2))]), &[&a]);
    assert_eq!(submit(&mut ledger, first.clone()), Submission::Pending);
    assert_eq!(submit(&mut ledger, first), Submission::Duplicate);
    assert_eq!(submit(&mut ledger, second.clone()), Submission::TryAgainLater);
    ledger.close(START + 6);
    assert_eq!(submit(&mut ledger, second), Submission::Pending);
}

#[test]
fn a_fee_bump_replaces_what_waits_only_for_ten_times_the_rate() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let next = seq(&ledger, &a) + 1;
    let inner = signed(ledger.network_id(), tx(&a, next, 100, vec![op(None, pay(&b, 1))]), &[&a]);
    let first = bump(&ledger, &b, 200, inner.clone());
    let (cheap, dear) = (bump(&ledger, &b, 1_999, inner.clone()), bump(&ledger, &b, 2_000, inner));
    assert_eq!(submit(&mut ledger, first), Submission::Pending);
    match submit(&mut ledger, cheap) {
        Submission::Refused(outcome) => {
            assert_eq!((outcome.fee, outcome.verdict), (2_000, Verdict::Error(TxError::InsufficientFee)));
        }
        other => panic!("{other:?}"),
    }
    let hash = dear.hash();
    assert_eq!(submit(&mut ledger, dear), Submission::Pending);
    let closed = ledger.close(START + 6);
    assert_eq!((closed.transactions.len(), closed.transactions[0].frame.hash()), (1, hash));
    assert_eq!(closed.transactions[0].outcome.fee, 200, "the base fee for two operations, not the bid");
}

#[test]
fn a_max_time_nearer_than_two_closes_is_too_late() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let closed = ledger.header().close_time;
    let until = |max: u64, ledger: &Ledger| {
        let mut tx = tx(&a, seq(ledger, &a) + 1, 100, vec![op(None, pay(&b, 1))]);
        tx.cond =
            xdr::Preconditions::Time(xdr::TimeBounds { min_time: xdr::TimePoint(0), max_time: xdr::TimePoint(max) });
        frame(ledger, tx, &[&a])
    };
    let (early, enough) = (until(closed + 1, &ledger), until(closed + 2, &ledger));
    assert_eq!(error(submit(&mut ledger, early)), TxError::TooLate);
    assert_eq!(submit(&mut ledger, enough), Submission::Pending);
}

#[test]
fn an_operation_that_fails_leaves_only_fee_and_sequence_number() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let next = seq(&ledger, &a) + 1;
    let ops = vec![op(None, pay(&b, 500)), op(None, pay(&b, 20_000_000_000))];
    let failing = frame(&ledger, tx(&a, next, 200, ops), &[&a]);
    assert_eq!(submit(&mut ledger, failing), Submission::Pending);
    assert!(matches!(one(ledger.close(START + 6)), Verdict::Failed(_)));
    assert_eq!((balance(&ledger, &a), seq(&ledger, &a)), (10_000_000_000 - 200, next));
    assert_eq!(balance(&ledger, &b), 10_000_000_000);
}

#[test]
fn offers_are_refused_as_unsupported() {
    let (mut ledger, a) = (funded(1), key(1));
    let offer = Body::ManageSellOffer(xdr::ManageSellOfferOp {
        selling: xdr::Asset::Native,
        buying: xdr::Asset::Native,
        amount: 1,
        price: xdr::Price { n: 1, d: 1 },
        offer_id: 0,
    });
    let next = seq(&ledger, &a) + 1;
    let frame = frame(&ledger, tx(&a, next, 100, vec![op(None, offer)]), &[&a]);
    match submit(&mut ledger, frame) {
        Submission::Refused(outcome) => {
            assert_eq!(outcome.verdict, Verdict::Failed(vec![xdr::OperationResult::OpNotSupported]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signature_that_nobody_needed_is_refused() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let next = seq(&ledger, &a) + 1;
    let twice = frame(&ledger, tx(&a, next, 100, vec![op(None, pay(&b, 1))]), &[&a, &b]);
    assert_eq!(error(submit(&mut ledger, twice)), TxError::BadAuthExtra);
}

#[test]
fn what_waits_in_the_queue_counts_against_the_balance_of_who_pays() {
    let (mut ledger, a, b, c) = (funded(3), key(1), key(2), key(3));
    let rich = balance(&ledger, &c) - 2 * 5_000_000;
    let inner = |from: &SigningKey, ledger: &Ledger| {
        signed(ledger.network_id(), tx(from, seq(ledger, from) + 1, 0, vec![op(None, pay(&c, 1))]), &[from])
    };
    let (one, two) = (inner(&a, &ledger), inner(&b, &ledger));
    let (first, second) = (bump(&ledger, &c, rich, one), bump(&ledger, &c, 200, two));
    assert_eq!(submit(&mut ledger, first), Submission::Pending);
    assert_eq!(error(submit(&mut ledger, second)), TxError::InsufficientBalance);
}

#[test]
fn a_full_ledger_takes_the_best_paying_and_keeps_the_rest() {
    let genesis = Genesis::standalone(PASSPHRASE, START);
    let root = genesis.root_key();
    let mut ledger = Ledger::new(&genesis);
    for n in [0u8, 100] {
        let ops: Vec<_> = (1..=100).map(|i| op(None, create(&key(n + i), 10_000_000_000))).collect();
        let next = seq(&ledger, &root) + 1;
        let frame = frame(&ledger, tx(&root, next, 10_000, ops), &[&root]);
        assert_eq!(ledger.submit(frame, 2), Submission::Pending);
        ledger.close(START + 5);
    }
    for i in 1..=200u8 {
        let from = key(i);
        let ops: Vec<_> = (0..10).map(|_| op(None, pay(&root, 1))).collect();
        let next = seq(&ledger, &from) + 1;
        let frame = frame(&ledger, tx(&from, next, 1_000 + u32::from(i), ops), &[&from]);
        assert_eq!(ledger.submit(frame, 2), Submission::Pending);
    }
    let closed = ledger.close(START + 6);
    assert_eq!((closed.transactions.len(), ledger.pending()), (100, 100));
    assert!(closed.transactions.iter().all(|t| t.frame.tx.fee > 1_100));
    assert_eq!(ledger.close(START + 7).transactions.len(), 100);
}

#[test]
fn an_account_shows_its_sequence_time_only_once_it_was_a_source() {
    let (mut ledger, a, b) = (funded(2), key(1), key(2));
    let before = view::account_view(&ledger, &id(&a), |_| None).expect("the account");
    assert!(before.get("sequence_time").is_none());
    let next = seq(&ledger, &a) + 1;
    let payment = frame(&ledger, tx(&a, next, 100, vec![op(None, pay(&b, 7))]), &[&a]);
    submit(&mut ledger, payment);
    ledger.close(START + 9);
    let after = view::account_view(&ledger, &id(&a), |_| None).expect("the account");
    assert_eq!(after["sequence_time"], (START + 9).to_string());
    assert_eq!(after["sequence_ledger"], 3);
    assert_eq!(after["sequence"], next.to_string());
    assert_eq!(after["balances"][0]["balance"], "999.9999893");
    assert!(view::account_view(&ledger, &id(&key(9)), |_| None).is_none());
}
