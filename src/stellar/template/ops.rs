//! The operations that our transactions are made of. `source` none is the transaction's own.
use super::muxed;
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::{Asset, account};
use crate::units::Stroops;
use stellar_base::xdr::{self, OperationBody};

/// Account flag: the issuer must authorise trustlines.
pub const AUTH_REQUIRED: u32 = 1;
/// Account flag: the issuer may take an authorisation back.
pub const AUTH_REVOCABLE: u32 = 2;
/// Account flag: these flags stay as they are, for good.
pub const AUTH_IMMUTABLE: u32 = 4;
/// Account flag: new trustlines let the issuer take the asset back.
pub const AUTH_CLAWBACK_ENABLED: u32 = 8;

fn operation(source: Option<&AccountKey>, body: OperationBody) -> xdr::Operation {
    xdr::Operation { source_account: source.map(muxed), body }
}

/// From here on the operation's source bears the reserves of what `sponsored` gets.
pub fn begin_sponsoring(source: Option<&AccountKey>, sponsored: &AccountKey) -> xdr::Operation {
    let op = xdr::BeginSponsoringFutureReservesOp { sponsored_id: account(sponsored) };
    operation(source, OperationBody::BeginSponsoringFutureReserves(op))
}

/// Ends what `begin_sponsoring` began; its source is the sponsored account.
pub fn end_sponsoring(sponsored: &AccountKey) -> xdr::Operation {
    operation(Some(sponsored), OperationBody::EndSponsoringFutureReserves)
}

/// A new account with `balance` native stroops.
pub fn create_account(source: Option<&AccountKey>, created: &AccountKey, balance: Stroops) -> xdr::Operation {
    let op = xdr::CreateAccountOp { destination: account(created), starting_balance: balance.as_i64() };
    operation(source, OperationBody::CreateAccount(op))
}

/// A trustline of the source for `asset` up to `limit`; 0 drops it.
pub fn change_trust(source: Option<&AccountKey>, asset: &Asset, limit: Stroops) -> xdr::Operation {
    let op = xdr::ChangeTrustOp { line: asset.to_xdr_line(), limit: limit.as_i64() };
    operation(source, OperationBody::ChangeTrust(op))
}

/// `amount` of `asset` to an account.
pub fn payment(source: Option<&AccountKey>, to: &AccountKey, asset: &Asset, amount: Stroops) -> xdr::Operation {
    let op = xdr::PaymentOp { destination: muxed(to), asset: asset.to_xdr(), amount: amount.as_i64() };
    operation(source, OperationBody::Payment(op))
}

/// A signer of the source account; weight 0 removes it.
pub fn set_signer(source: Option<&AccountKey>, signer: &AccountKey, weight: u8) -> xdr::Operation {
    let key = xdr::SignerKey::Ed25519(xdr::Uint256(*signer));
    let signer = Some(xdr::Signer { key, weight: u32::from(weight) });
    operation(source, OperationBody::SetOptions(xdr::SetOptionsOp { signer, ..no_options() }))
}

/// All three thresholds of the source account, and its master key's weight when that changes.
pub fn set_thresholds(source: Option<&AccountKey>, all: u8, master: Option<u8>) -> xdr::Operation {
    let threshold = Some(u32::from(all));
    let options = xdr::SetOptionsOp {
        master_weight: master.map(u32::from),
        low_threshold: threshold,
        med_threshold: threshold,
        high_threshold: threshold,
        ..no_options()
    };
    operation(source, OperationBody::SetOptions(options))
}

/// Account flags of the source, e.g. `AUTH_IMMUTABLE`; 0 leaves them.
pub fn set_flags(source: Option<&AccountKey>, set: u32, clear: u32) -> xdr::Operation {
    let given = |flags: u32| Some(flags).filter(|flags| *flags != 0);
    let options = xdr::SetOptionsOp { set_flags: given(set), clear_flags: given(clear), ..no_options() };
    operation(source, OperationBody::SetOptions(options))
}

/// Raises the source account's sequence number to `to`; a number that is there already stays.
pub fn bump_sequence(source: Option<&AccountKey>, to: i64) -> xdr::Operation {
    let op = xdr::BumpSequenceOp { bump_to: xdr::SequenceNumber(to) };
    operation(source, OperationBody::BumpSequence(op))
}

/// Ends the source account and gives its native balance to `to`.
pub fn merge(source: Option<&AccountKey>, to: &AccountKey) -> xdr::Operation {
    operation(source, OperationBody::AccountMerge(muxed(to)))
}

fn no_options() -> xdr::SetOptionsOp {
    xdr::SetOptionsOp {
        inflation_dest: None,
        clear_flags: None,
        set_flags: None,
        master_weight: None,
        low_threshold: None,
        med_threshold: None,
        high_threshold: None,
        home_domain: None,
        signer: None,
    }
}
