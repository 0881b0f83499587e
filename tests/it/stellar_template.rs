//! Our transactions against the envelopes that a real ledger took (tests/vectors/channel.json).
use base64::Engine;
use magicwave::gateway::core::message::{AccountKey, Signature};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::keys::{SecretSeed, account_id, parse_account_id};
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, EscrowTerms, MAX_EPOCH, NetSide, NetTerms, Source, Unsigned, ops};
use magicwave::units::Stroops;
use stellar_base::xdr::{
    FeeBumpTransactionInnerTx, Limits, MuxedAccount, OperationBody, Preconditions, ReadXdr, SignerKey, Transaction,
    TransactionEnvelope, TransactionSignaturePayloadTaggedTransaction as Body, TransactionV1Envelope, WriteXdr,
};

const XLM: u64 = 10_000_000;

#[test]
fn escrows_open_as_recorded() {
    let recording = Recording::read();
    let native = recording.landed("1. create escrow E, reserve sponsored by P (3 ops)");
    let escrow = created_by(&native.tx);
    let open = template::open(&recording.source(&native.tx), &escrow, &Asset::Native).expect("valid");
    recording.same(&open, "1. create escrow E, reserve sponsored by P (3 ops)");

    let credit = recording.landed("32. create escrow + sponsored trustline (4 ops)");
    let open =
        template::open(&recording.source(&credit.tx), &created_by(&credit.tx), &recording.magic()).expect("valid");
    recording.same(&open, "32. create escrow + sponsored trustline (4 ops)");
}

#[test]
fn claims_are_the_recorded_ones_to_the_byte_and_their_signatures_hold() {
    let recording = Recording::read();
    let terms = recording.first_escrow();
    for (label, epoch, cumulative) in [
        ("7. newest claim K_10 (cum. 10), fee-bumped by Q", 999, 10 * XLM),
        ("9. next-epoch claim (gap of 1000 in seq, minSeqNum)", 1999, 7 * XLM),
        ("8. older claim K_9 (same seqNum)", 999, 9 * XLM),
        ("12. late claim after refund R", 2999, 50 * XLM),
    ] {
        let recorded = recording.envelope(label);
        let inner = inner(&recorded);
        let cumulative = Stroops::new(cumulative).expect("in range");
        let claim = template::claim(&terms, epoch, cumulative).expect("valid");
        assert_eq!(*claim.body(), Body::Tx(inner.tx.clone()), "{label}");
        let [payer, payee] = signatures(&inner);
        template::verify_claim(&terms, epoch, cumulative, &payer).expect(label);
        let other = cumulative.add(Stroops::new(1).expect("one")).expect("in range");
        assert_eq!(template::verify_claim(&terms, epoch, other, &payer).expect_err("other").code, "MW-KEY-2");
        assert!(template::verify_claim(&terms, epoch + 1, cumulative, &payer).is_err());
        // With both signatures it is the recorded inner envelope, and the bump around it has the recorded hash.
        let signed = claim
            .attach(vec![
                template::decorate(&terms.payer_signer, payer).expect("short"),
                template::decorate(&terms.payee_signer, payee).expect("short"),
            ])
            .expect("two signatures");
        assert_eq!(*signed.envelope(), TransactionEnvelope::Tx(inner));
        let bump = template::fee_bump(&signed, &terms.payee_account, bump_fee(&recorded)).expect("enough");
        assert_eq!(bump.hash(), recorded.hash(recording.network.0).expect("hash"), "{label}");
    }
}

#[test]
fn the_refund_is_the_recorded_one_but_for_its_gap_of_ledgers() {
    let recording = Recording::read();
    let terms = recording.first_escrow();
    let recorded = inner(&recording.envelope("11. R retry at +12s"));
    let ours = transaction(&template::refund(&terms).expect("valid"));
    assert_eq!(without_gap(ours.clone()), recorded.tx);
    let Preconditions::V2(conditions) = ours.cond else { panic!("no conditions") };
    assert_eq!(conditions.min_seq_ledger_gap, 12 / 7);
}

#[test]
fn the_funding_is_the_recorded_one_but_for_the_refund_that_it_discloses() {
    let recording = Recording::read();
    let label = "19. lock with Q's R-signature disclosed";
    let recorded = inner(&recording.envelope(label));
    let Preconditions::V2(conditions) = &recorded.tx.cond else { panic!("no conditions") };
    let SignerKey::Ed25519SignedPayload(disclosed) = &conditions.extra_signers[0] else { panic!("no payload") };
    let first = recording.first_escrow();
    let MuxedAccount::Ed25519(escrow) = &recorded.tx.source_account else { panic!("muxed") };
    let terms = EscrowTerms {
        escrow: escrow.0,
        created_ledger: 32,
        deposit: Stroops::new(100 * XLM).expect("in range"),
        period_secs: 12,
        ..first
    };
    // The recorded R has no gap of ledgers, so that its hash differs; all else of F is the same.
    let bare = without_gap(transaction(&template::refund(&terms).expect("valid")));
    let bare_hash = bare.hash(recording.network.0).expect("hash");
    assert_eq!(disclosed.payload.as_slice(), bare_hash);
    let mut ours = transaction(&template::fund(&terms).expect("valid"));
    let Preconditions::V2(own) = &mut ours.cond else { panic!("no conditions") };
    let SignerKey::Ed25519SignedPayload(own_disclosed) = &own.extra_signers[0] else { panic!("no payload") };
    assert_eq!(own_disclosed.payload.as_slice(), template::refund(&terms).expect("valid").hash());
    own.extra_signers = conditions.extra_signers.clone();
    assert_eq!(ours, recorded.tx);
    // The hint of a signed payload, as the ledger accepted it.
    let [_, _, disclosing] = signatures(&recorded);
    let decorated = template::decorate_payload(&terms.payee_signer, &bare_hash, disclosing).expect("short");
    assert_eq!(decorated, recorded.signatures[2]);
    // The first form of F, before extra signers, has the same operations.
    let older = inner(&recording.envelope("2. lock tx F: source=E (initialises seqTime) fee 0 + fee-bump by P"));
    assert_eq!(transaction(&template::fund(&first).expect("valid")).operations, older.tx.operations);
}

#[test]
fn the_payer_takes_an_escrow_back_as_recorded() {
    let recording = Recording::read();
    let label = "13. P merges escrow back (recovers deposit+reserve)";
    let terms = recording.first_escrow();
    let recorded = recording.landed(label);
    let source = recording.source(&recorded.tx);
    recording.same(&template::reclaim(&source, &terms, Stroops::ZERO).expect("valid"), label);
    let stranger = Source { account: terms.payee_account, ..source };
    assert_eq!(template::reclaim(&stranger, &terms, Stroops::ZERO).expect_err("stranger").code, "MW-TX-5");

    let credit = EscrowTerms { asset: recording.magic(), ..terms };
    let emptied = transaction(&template::reclaim(&source, &credit, Stroops::new(5).expect("5")).expect("valid"));
    let kinds: Vec<_> = emptied.operations.iter().map(|operation| operation.body.name()).collect();
    assert_eq!(kinds, ["Payment", "ChangeTrust", "AccountMerge"]);
}

#[test]
fn plain_transactions_are_the_recorded_ones_with_the_recorded_signature() {
    let recording = Recording::read();
    let label = "fund P,Q,W (3 ops)";
    let recorded = recording.landed(label);
    let root = SecretSeed::parse(recording.json["root_seed"].as_str().expect("seed")).expect("seed");
    let create = |operation: &stellar_base::xdr::Operation| match &operation.body {
        OperationBody::CreateAccount(op) => {
            ops::create_account(None, &key_of(&op.destination), Stroops::try_from(op.starting_balance).expect("amount"))
        }
        other => panic!("{}", other.name()),
    };
    let source = recording.source(&recorded.tx);
    let ours = template::batch(&source, recorded.tx.operations.iter().map(create).collect()).expect("valid");
    recording.same(&ours, label);
    let signed = ours.sign(&[&root]).expect("one signature");
    assert_eq!(*signed.envelope(), recording.envelope(label));
    assert_eq!(signed.to_xdr().expect("small"), recording.envelope(label).to_xdr(Limits::none()).expect("small"));

    let label = "31. trust + issue 1000 MAGIC to P";
    let recorded = recording.landed(label);
    let terms = recording.first_escrow();
    let (magic, max) = (recording.magic(), Stroops::MAX);
    let Asset::Credit(credit) = &magic else { panic!("native") };
    let operations = vec![
        ops::change_trust(None, &magic, max),
        ops::change_trust(Some(&terms.payee_account), &magic, max),
        ops::payment(Some(credit.issuer()), &terms.payer_account, &magic, Stroops::new(1000 * XLM).expect("amount")),
    ];
    recording.same(&template::batch(&recording.source(&recorded.tx), operations).expect("valid"), label);
}

#[test]
fn both_sides_build_and_check_the_same_from_their_keys() {
    let recording = Recording::read();
    let seed = |byte: u8| SecretSeed::from_bytes(&[byte; 32]);
    let (payer, payee, escrow, account) = (seed(1), seed(2), seed(3), seed(4));
    let terms = EscrowTerms {
        asset: recording.magic(),
        escrow: escrow.public(),
        payer_signer: payer.public(),
        payee_signer: payee.public(),
        payer_account: account.public(),
        ..recording.first_escrow()
    };
    let amount = Stroops::new(7).expect("7");
    let claim = template::sign_claim(&terms, 0, amount, &payer).expect("own key");
    let signed = template::complete_claim(&terms, 0, amount, &claim, &payee).expect("both");
    // A flush is 452 bytes on a native asset; a 12-character asset adds 48.
    let bump = template::fee_bump(&signed, &payee.public(), 200).expect("enough").sign(&[&payee]).expect("one");
    assert_eq!(bump.to_xdr().expect("small").len(), 452 + 48);
    assert_eq!(template::fee_bump(&signed, &payee.public(), 199).expect_err("cheap").code, "MW-TX-2");
    assert_eq!(template::fee_bump(&bump, &payee.public(), 400).expect_err("twice").code, "MW-TX-2");

    let refund = template::sign_refund(&terms, &payee).expect("own key");
    template::verify_refund(&terms, &refund).expect("own signature");
    let later = EscrowTerms { period_secs: 13, ..terms };
    assert_eq!(template::verify_refund(&later, &refund).expect_err("other period").code, "MW-KEY-2");
    let funded = template::complete_fund(&terms, &escrow, &account, &refund).expect("all keys");
    assert_eq!(funded.hash(), template::fund(&terms).expect("valid").hash());
    assert_eq!(template::complete_fund(&terms, &escrow, &account, &claim).expect_err("not R").code, "MW-KEY-2");
    template::complete_refund(&terms, &payer, &refund).expect("both");

    for refused in [
        template::sign_claim(&terms, 0, amount, &payee).map(|_| ()),
        template::sign_refund(&terms, &payer).map(|_| ()),
        template::complete_claim(&terms, 0, amount, &claim, &payer).map(|_| ()),
        template::complete_fund(&terms, &escrow, &payer, &refund).map(|_| ()),
        template::complete_fund(&terms, &payer, &account, &refund).map(|_| ()),
        template::complete_refund(&terms, &payee, &refund).map(|_| ()),
    ] {
        assert_eq!(refused.expect_err("foreign key").code, "MW-TX-4");
    }
}

#[test]
fn the_close_does_what_the_refund_does_without_waiting_by_the_number_of_an_epoch() {
    let recording = Recording::read();
    let seed = |byte: u8| SecretSeed::from_bytes(&[byte; 32]);
    let (payer, payee) = (seed(1), seed(2));
    let terms = EscrowTerms { payer_signer: payer.public(), payee_signer: payee.public(), ..recording.first_escrow() };
    let refund = transaction(&template::refund(&terms).expect("valid"));
    let close = transaction(&template::close(&terms, 3).expect("valid"));
    let claim = transaction(&template::claim(&terms, 3, Stroops::new(7).expect("7")).expect("valid"));
    assert_eq!((close.operations, close.fee), (refund.operations, 0));
    assert_eq!((close.seq_num, close.cond), (claim.seq_num, claim.cond), "alternatives of each other");
    let signed = template::sign_close(&terms, 3, &payee).expect("own key");
    template::complete_close(&terms, 3, &payer, &signed).expect("both");
    for (epoch, key, signature, code) in
        [(4, &payer, signed, "MW-KEY-2"), (3, &payee, signed, "MW-TX-4"), (3, &payer, [7; 64], "MW-KEY-2")]
    {
        assert_eq!(template::complete_close(&terms, epoch, key, &signature).expect_err("wrong").code, code);
    }
    assert_eq!(template::sign_close(&terms, 3, &payer).expect_err("foreign").code, "MW-TX-4");
    assert_eq!(template::close(&terms, MAX_EPOCH + 1).expect_err("no epoch").code, "MW-TERMS-5");
}

/// Two escrows of one pair; the proposer of what settles both has key 2 as payee and 3 as payer.
fn pair(recording: &Recording) -> NetTerms {
    let seed = |byte: u8| SecretSeed::from_bytes(&[byte; 32]).public();
    let one = EscrowTerms {
        asset: recording.magic(),
        payer_signer: seed(1),
        payee_signer: seed(2),
        payer_account: seed(5),
        payee_account: seed(6),
        escrow: seed(7),
        ..recording.first_escrow()
    };
    let other = EscrowTerms {
        payer_signer: seed(3),
        payee_signer: seed(4),
        payer_account: seed(6),
        payee_account: seed(5),
        escrow: seed(8),
        ..one
    };
    let stroops = |n: u64| Stroops::new(n).expect("in range");
    let side =
        |terms, epoch, amount, landed| NetSide { terms, epoch, amount: stroops(amount), landed: stroops(landed) };
    NetTerms { inward: side(one, 4, 70, 5), outward: side(other, 9, 100, 0), sequence: 77, max_time: 1000 }
}

#[test]
fn a_net_settlement_shows_each_escrow_whole_and_moves_the_difference() {
    let terms = pair(&Recording::read());
    let tx = transaction(&template::net(&terms).expect("valid"));
    assert_eq!((tx.seq_num.0, tx.fee), (77, 0));
    let Preconditions::Time(bounds) = &tx.cond else { panic!("no end") };
    assert_eq!((bounds.min_time.0, bounds.max_time.0), (0, 1000));
    let deposit = 500 * i64::try_from(XLM).expect("small");
    let moved: Vec<i64> = tx
        .operations
        .iter()
        .filter_map(|op| match &op.body {
            OperationBody::Payment(payment) => Some(payment.amount),
            _ => None,
        })
        .collect();
    assert_eq!(moved, [deposit - 5, deposit - 5, deposit, deposit - 30, 30]);
    let bumps: Vec<i64> = tx
        .operations
        .iter()
        .filter_map(|op| match &op.body {
            OperationBody::BumpSequence(bump) => Some(bump.bump_to.0),
            _ => None,
        })
        .collect();
    let numbers = [&terms.inward, &terms.outward].map(|s| s.terms.claim_sequence(s.epoch).expect("an epoch"));
    assert_eq!((bumps, tx.operations.len()), (numbers.to_vec(), 7));
    // The other way round the proposer keeps the difference, and nothing is passed on.
    let swapped = NetTerms { outward: NetSide { amount: Stroops::new(1).expect("1"), ..terms.outward }, ..terms };
    assert_eq!((swapped.set_off().get(), terms.set_off().get()), (1, 70));
    assert_eq!(transaction(&template::net(&swapped).expect("valid")).operations.len(), 6);
}

#[test]
fn a_net_settlement_of_what_is_no_pair_or_not_covered_is_refused() {
    let good = pair(&Recording::read());
    let code = |terms: NetTerms| template::net(&terms).map_err(|error| error.code).err();
    let stroops = |n: u64| Stroops::new(n).expect("in range");
    assert_eq!(code(good), None);
    let strange = EscrowTerms { payee_account: [9; 32], ..good.outward.terms };
    for terms in [
        NetTerms { outward: good.inward, ..good },
        NetTerms { outward: NetSide { terms: strange, ..good.outward }, ..good },
        NetTerms { inward: NetSide { amount: Stroops::ZERO, ..good.inward }, ..good },
        NetTerms { inward: NetSide { amount: stroops(500 * XLM), ..good.inward }, ..good },
        NetTerms { max_time: 0, ..good },
        NetTerms { sequence: 0, ..good },
    ] {
        assert_eq!(code(terms), Some("MW-TX-10"), "{terms:?}");
    }
    let seed = |byte: u8| SecretSeed::from_bytes(&[byte; 32]);
    let others = template::sign_net(&good, &seed(1), &seed(4)).expect("own keys");
    template::complete_net(&good, &seed(6), &seed(2), &seed(3), &others).expect("all");
    assert_eq!(template::sign_net(&good, &seed(4), &seed(1)).expect_err("swapped").code, "MW-TX-4");
    let [a, b] = others;
    let wrong = template::complete_net(&good, &seed(6), &seed(2), &seed(3), &[b, a]);
    assert_eq!(wrong.expect_err("swapped").code, "MW-KEY-2");
    let wrong = template::complete_net(&good, &seed(5), &seed(2), &seed(3), &others);
    assert_eq!(wrong.expect_err("another account").code, "MW-TX-4");
}

#[test]
fn claims_beyond_the_deposit_the_epochs_or_sense_are_refused() {
    let recording = Recording::read();
    let native = recording.first_escrow();
    let credit = EscrowTerms { asset: recording.magic(), ..native };
    let stroops = |n: u64| Stroops::new(n).expect("in range");
    let code =
        |terms: &EscrowTerms, epoch, amount| template::claim(terms, epoch, amount).map_err(|error| error.code).err();
    assert_eq!(code(&credit, 0, stroops(500 * XLM)), None);
    assert_eq!(code(&credit, 0, stroops(500 * XLM + 1)), Some("MW-TX-3"));
    assert_eq!(code(&credit, 0, Stroops::ZERO), Some("MW-TX-3"));
    // Of native stroops the reserves of the account and its two signers stay behind.
    assert_eq!(code(&native, 0, stroops(498 * XLM)), None);
    assert_eq!(code(&native, 0, stroops(498 * XLM + 1)), Some("MW-TX-3"));
    assert_eq!(code(&credit, MAX_EPOCH, stroops(1)), None);
    assert_eq!(code(&credit, MAX_EPOCH + 1, stroops(1)), Some("MW-TERMS-5"));
    assert!(credit.claim_sequence(MAX_EPOCH).expect("last") < credit.refund_sequence());
    assert_eq!(credit.claim_sequence(0).expect("first"), (8 << 32) + 2);
}

#[test]
fn terms_that_make_no_safe_escrow_are_refused() {
    let good = Recording::read().first_escrow();
    let code = |terms: EscrowTerms| terms.check().map_err(|error| error.code).err();
    assert_eq!(code(good), None);
    for terms in [
        EscrowTerms { payer_signer: good.payee_signer, ..good },
        EscrowTerms { payer_account: good.payee_account, ..good },
        EscrowTerms { payee_account: good.escrow, ..good },
        EscrowTerms { payer_account: good.escrow, ..good },
        EscrowTerms { payee_signer: good.escrow, ..good },
        EscrowTerms { asset: Asset::credit("MWT", good.escrow).expect("valid"), ..good },
    ] {
        assert_eq!(code(terms), Some("MW-TERMS-1"));
    }
    assert_eq!(code(EscrowTerms { created_ledger: 0, ..good }), Some("MW-TERMS-2"));
    assert_eq!(code(EscrowTerms { created_ledger: 1 << 31, ..good }), Some("MW-TERMS-2"));
    assert_eq!(code(EscrowTerms { created_ledger: (1 << 31) - 1, ..good }), None);
    assert_eq!(code(EscrowTerms { deposit: Stroops::new(2 * XLM).expect("2"), ..good }), Some("MW-TERMS-3"));
    assert_eq!(code(EscrowTerms { period_secs: 0, ..good }), Some("MW-TERMS-4"));
    assert!(template::refund(&EscrowTerms { period_secs: 0, ..good }).is_err());
    let json = serde_json::to_string(&good).expect("json");
    assert_eq!(serde_json::from_str::<EscrowTerms>(&json).expect("own json"), good);
}

#[test]
fn transactions_without_a_fee_a_sequence_or_operations_are_refused() {
    let recording = Recording::read();
    let source = recording.source(&recording.landed("fund P,Q,W (3 ops)").tx);
    let code = |source: Source, count| {
        let operations = vec![ops::merge(None, &[9; 32]); count];
        template::batch(&source, operations).map_err(|error| error.code).err()
    };
    assert_eq!(code(source, 100), None);
    assert_eq!(code(source, 0), Some("MW-TX-1"));
    assert_eq!(code(source, 101), Some("MW-TX-1"));
    assert_eq!(code(Source { fee_per_op: 99, ..source }, 1), Some("MW-TX-1"));
    assert_eq!(code(Source { fee_per_op: u32::MAX, ..source }, 2), Some("MW-TX-1"));
    assert_eq!(code(Source { sequence: i64::MAX, ..source }, 1), Some("MW-TX-1"));
    assert_eq!(code(Source { sequence: -1, ..source }, 1), Some("MW-TX-1"));
    let ends = transaction(&template::set_flags(&Source { max_time: 77, ..source }, 4, 0).expect("valid"));
    let Preconditions::Time(bounds) = ends.cond else { panic!("no time bounds") };
    assert_eq!(bounds.max_time.0, 77);
}

/// The recording, and what the tests need out of it.
struct Recording {
    json: serde_json::Value,
    network: NetworkId,
}

impl Recording {
    fn read() -> Self {
        let json: serde_json::Value =
            serde_json::from_slice(include_bytes!("../vectors/channel.json")).expect("a recording");
        let network = NetworkId::of(json["network_passphrase"].as_str().expect("passphrase"));
        Recording { json, network }
    }
    /// The first envelope with this label, landed or rejected.
    fn envelope(&self, label: &str) -> TransactionEnvelope {
        let landed = self.json["ledgers"].as_array().expect("ledgers").iter();
        let landed = landed.flat_map(|ledger| ledger["transactions"].as_array().expect("transactions"));
        for transaction in landed {
            let envelope = decode(&transaction["envelope"]);
            let hash = hex::encode(envelope.hash(self.network.0).expect("hash"));
            if self.json["labels"][&hash] == label {
                return envelope;
            }
        }
        let rejected = self.json["rejected"].as_array().expect("rejected").iter();
        decode(&rejected.into_iter().find(|entry| entry["label"] == label).expect(label)["envelope"])
    }
    fn landed(&self, label: &str) -> TransactionV1Envelope {
        match self.envelope(label) {
            TransactionEnvelope::Tx(envelope) => envelope,
            _ => panic!("{label} is a fee bump"),
        }
    }
    fn source(&self, tx: &Transaction) -> Source {
        let MuxedAccount::Ed25519(account) = &tx.source_account else { panic!("muxed") };
        let count = u32::try_from(tx.operations.len()).expect("few");
        let (sequence, fee_per_op) = (tx.seq_num.0 - 1, tx.fee / count);
        Source { network: self.network, account: account.0, sequence, fee_per_op, max_time: 0 }
    }
    fn same(&self, ours: &Unsigned, label: &str) {
        let recorded = self.landed(label);
        assert_eq!(*ours.body(), Body::Tx(recorded.tx.clone()), "{label}");
        assert_eq!(ours.hash(), recorded.hash(self.network.0).expect("hash"), "{label}");
    }
    fn magic(&self) -> Asset {
        Asset::credit("MAGIC", parse_account_id(&account_id(&self.issuer())).expect("valid")).expect("valid")
    }
    fn issuer(&self) -> AccountKey {
        created_by(&self.landed("30. create issuer").tx)
    }
    fn first_escrow(&self) -> EscrowTerms {
        let opened = self.landed("1. create escrow E, reserve sponsored by P (3 ops)");
        let payer = self.source(&opened.tx).account;
        let claim = inner(&self.envelope("7. newest claim K_10 (cum. 10), fee-bumped by Q"));
        let OperationBody::Payment(payment) = &claim.tx.operations[0].body else { panic!("no payment") };
        let MuxedAccount::Ed25519(payee) = &payment.destination else { panic!("muxed") };
        EscrowTerms {
            network: self.network,
            asset: Asset::Native,
            escrow: created_by(&opened.tx),
            payer_signer: payer,
            payer_account: payer,
            payee_signer: payee.0,
            payee_account: payee.0,
            created_ledger: 8,
            deposit: Stroops::new(500 * XLM).expect("in range"),
            period_secs: 12,
        }
    }
}

fn decode(base64: &serde_json::Value) -> TransactionEnvelope {
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64.as_str().expect("text")).expect("base64");
    TransactionEnvelope::from_xdr(bytes, Limits::none()).expect("an envelope")
}

fn inner(envelope: &TransactionEnvelope) -> TransactionV1Envelope {
    match envelope {
        TransactionEnvelope::Tx(envelope) => envelope.clone(),
        TransactionEnvelope::TxFeeBump(bump) => match &bump.tx.inner_tx {
            FeeBumpTransactionInnerTx::Tx(envelope) => envelope.clone(),
        },
        TransactionEnvelope::TxV0(_) => panic!("an old envelope"),
    }
}

fn bump_fee(envelope: &TransactionEnvelope) -> i64 {
    match envelope {
        TransactionEnvelope::TxFeeBump(bump) => bump.tx.fee,
        _ => panic!("no fee bump"),
    }
}

fn signatures<const N: usize>(envelope: &TransactionV1Envelope) -> [Signature; N] {
    let all: Vec<Signature> =
        envelope.signatures.iter().map(|one| one.signature.0.as_slice().try_into().expect("64 bytes")).collect();
    all.try_into().expect("count of signatures")
}

fn transaction(unsigned: &Unsigned) -> Transaction {
    match unsigned.body() {
        Body::Tx(tx) => tx.clone(),
        Body::TxFeeBump(_) => panic!("a fee bump"),
    }
}

fn without_gap(mut tx: Transaction) -> Transaction {
    let Preconditions::V2(conditions) = &mut tx.cond else { panic!("no conditions") };
    conditions.min_seq_ledger_gap = 0;
    tx
}

fn key_of(account: &stellar_base::xdr::AccountId) -> AccountKey {
    let stellar_base::xdr::PublicKey::PublicKeyTypeEd25519(key) = &account.0;
    key.0
}

fn created_by(tx: &Transaction) -> AccountKey {
    let created = tx.operations.iter().find_map(|operation| match &operation.body {
        OperationBody::CreateAccount(op) => Some(key_of(&op.destination)),
        _ => None,
    });
    created.expect("creates an account")
}
