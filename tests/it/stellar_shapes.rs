//! Every claim, opening and taking back in the recordings of a real ledger, rebuilt from what it says.
use base64::Engine;
use magicwave::stellar::asset::Asset;
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, EscrowTerms, MAX_EPOCH, Source};
use magicwave::units::Stroops;
use stellar_base::xdr::{
    AccountId, Asset as XdrAsset, ChangeTrustAsset, FeeBumpTransactionInnerTx, Limits, MuxedAccount, OperationBody,
    Preconditions, PublicKey, ReadXdr, Transaction, TransactionEnvelope,
};

#[test]
fn every_recorded_claim_is_rebuilt_to_the_same_hash() {
    let mut rebuilt = 0;
    for (network, tx) in recorded() {
        let Some((terms, epoch, amount)) = as_claim(network, &tx) else { continue };
        let claim = template::claim(&terms, epoch, amount).expect("valid");
        assert_eq!(claim.hash(), tx.hash(network.0).expect("hash"), "{tx:?}");
        rebuilt += 1;
    }
    assert!(rebuilt > 200, "only {rebuilt} claims were recognised");
}

#[test]
fn every_recorded_opening_and_merge_is_rebuilt_to_the_same_hash() {
    let (mut opened, mut merged) = (0, 0);
    for (network, tx) in recorded() {
        let count = u32::try_from(tx.operations.len()).expect("few");
        let source = Source {
            network,
            account: muxed(&tx.source_account),
            sequence: tx.seq_num.0 - 1,
            fee_per_op: tx.fee / count,
            max_time: 0,
        };
        let bodies: Vec<_> = tx.operations.iter().map(|operation| &operation.body).collect();
        let ours = match bodies.as_slice() {
            [OperationBody::BeginSponsoringFutureReserves(_), OperationBody::CreateAccount(created), rest @ ..]
                if created.starting_balance == 0 =>
            {
                let asset = match rest {
                    [OperationBody::ChangeTrust(trust), _] => line(&trust.line),
                    _ => Asset::Native,
                };
                opened += 1;
                template::open(&source, &key(&created.destination), &asset).expect("valid")
            }
            [OperationBody::AccountMerge(to)] => {
                let escrow = muxed(tx.operations[0].source_account.as_ref().expect("a source of its own"));
                // The random ones merge accounts of all kinds; ours goes to the source alone.
                if muxed(to) != source.account || escrow == source.account {
                    continue;
                }
                let terms = terms(network, escrow, source.account, [9; 32], Asset::Native, 1);
                merged += 1;
                template::reclaim(&source, &terms, Stroops::ZERO).expect("valid")
            }
            _ => continue,
        };
        assert_eq!(ours.hash(), tx.hash(network.0).expect("hash"), "{tx:?}");
    }
    assert!(opened >= 15 && merged >= 40, "only {opened} openings and {merged} merges were recognised");
}

/// What of a transaction makes it a plain claim, if it is one.
fn as_claim(network: NetworkId, tx: &Transaction) -> Option<(EscrowTerms, u32, Stroops)> {
    let (Preconditions::V2(conditions), [operation]) = (&tx.cond, tx.operations.as_slice()) else { return None };
    let OperationBody::Payment(payment) = &operation.body else { return None };
    let plain = conditions.extra_signers.is_empty() && conditions.time_bounds.as_ref()?.max_time.0 == 0;
    let created = u32::try_from(conditions.min_seq_num.as_ref()?.0 >> 32).ok()?;
    let epoch = u32::try_from(tx.seq_num.0 - (i64::from(created) << 32) - 2).ok()?;
    if !plain || conditions.min_seq_num.as_ref()?.0 & 0xFFFF_FFFF != 1 || epoch > MAX_EPOCH {
        return None;
    }
    let terms =
        terms(network, muxed(&tx.source_account), [8; 32], muxed(&payment.destination), asset(&payment.asset), created);
    Some((terms, epoch, Stroops::try_from(payment.amount).ok()?))
}

/// Terms whose other parts leave no trace in the transaction at hand.
fn terms(
    network: NetworkId,
    escrow: [u8; 32],
    payer_account: [u8; 32],
    payee_account: [u8; 32],
    asset: Asset,
    created_ledger: u32,
) -> EscrowTerms {
    EscrowTerms {
        network,
        asset,
        escrow,
        payer_signer: [6; 32],
        payer_account,
        payee_signer: [7; 32],
        payee_account,
        created_ledger,
        deposit: Stroops::MAX,
        period_secs: 1,
    }
}

/// All transactions of both recordings, landed and rejected, without their fee bumps.
fn recorded() -> Vec<(NetworkId, Transaction)> {
    let mut all = Vec::new();
    for text in [include_str!("../vectors/channel.json"), include_str!("../vectors/escrow-7.json")] {
        let json: serde_json::Value = serde_json::from_str(text).expect("a recording");
        let network = NetworkId::of(json["network_passphrase"].as_str().expect("passphrase"));
        let ledgers = json["ledgers"].as_array().expect("ledgers").iter();
        let landed = ledgers.flat_map(|ledger| ledger["transactions"].as_array().expect("transactions"));
        for entry in landed.chain(json["rejected"].as_array().expect("rejected")) {
            let text = entry["envelope"].as_str().expect("text");
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
            let tx = match TransactionEnvelope::from_xdr(bytes, Limits::none()).expect("an envelope") {
                TransactionEnvelope::Tx(envelope) => envelope.tx,
                TransactionEnvelope::TxFeeBump(bump) => match bump.tx.inner_tx {
                    FeeBumpTransactionInnerTx::Tx(envelope) => envelope.tx,
                },
                TransactionEnvelope::TxV0(_) => panic!("an old envelope"),
            };
            all.push((network, tx));
        }
    }
    all
}

fn muxed(account: &MuxedAccount) -> [u8; 32] {
    match account {
        MuxedAccount::Ed25519(key) => key.0,
        MuxedAccount::MuxedEd25519(_) => panic!("muxed"),
    }
}

fn key(account: &AccountId) -> [u8; 32] {
    let PublicKey::PublicKeyTypeEd25519(key) = &account.0;
    key.0
}

fn asset(asset: &XdrAsset) -> Asset {
    match asset {
        XdrAsset::Native => Asset::Native,
        XdrAsset::CreditAlphanum4(credit) => credit_of(&credit.asset_code.0, &credit.issuer),
        XdrAsset::CreditAlphanum12(credit) => credit_of(&credit.asset_code.0, &credit.issuer),
    }
}

fn line(asset: &ChangeTrustAsset) -> Asset {
    match asset {
        ChangeTrustAsset::CreditAlphanum4(credit) => credit_of(&credit.asset_code.0, &credit.issuer),
        ChangeTrustAsset::CreditAlphanum12(credit) => credit_of(&credit.asset_code.0, &credit.issuer),
        _ => panic!("no credit asset"),
    }
}

fn credit_of(code: &[u8], issuer: &AccountId) -> Asset {
    let code = std::str::from_utf8(code).expect("text").trim_end_matches('\0');
    Asset::credit(code, key(issuer)).expect("valid")
}
