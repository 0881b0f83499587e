//! GET /api/balance
use super::amount::Amount;
use super::problem::{Answer, Refused};
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where this node's money is. The ledger's part is as old as it says, the rest is of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Balance {
    /// The node's first account, `G…`.
    pub account: String,
    /// The payment asset, `CODE:ISSUER`.
    pub asset: String,
    /// What the ledger last showed of it; null before the first look.
    pub ledger: Option<Look>,
    /// Why the newest look failed; null when it did not.
    pub failed: Option<Refused>,
    /// Further accounts that partners see in the place of the first, by number.
    pub accounts: Vec<Other>,
    /// What we pay with.
    pub paying: Paying,
    /// What we were paid.
    pub earning: Earning,
    /// What landed for us in all, in escrows that are over too, with what was set off against what we owed the same
    /// partner: it never falls.
    pub earned: Amount,
}

/// Another account of the same wallet, as it was when the gateway last looked: not when somebody asks, so that the
/// times tell the ledger's server nothing of which accounts belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Other {
    /// Its number, as `magicwave wallet --account` takes it.
    pub number: u8,
    /// `G…`.
    pub account: String,
    /// Unix milliseconds of that look, 0: not yet.
    pub at: u64,
    /// Payment asset on it.
    pub asset: Amount,
    /// Native stroops that are left for payments and fees.
    pub native_spendable: Amount,
}

/// An account on the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// Unix milliseconds of the look.
    pub at: u64,
    /// How long ago that was when this was answered.
    pub age_ms: u64,
    /// Whether the account exists; all amounts are 0 when it does not.
    pub exists: bool,
    /// Payment asset on the account.
    pub asset: Amount,
    /// Of that, what can be sent now.
    pub asset_spendable: Amount,
    /// Native stroops on the account.
    pub native: Amount,
    /// Of that, what is left for payments and fees.
    pub native_spendable: Amount,
    /// Of that, what the ledger holds back for entries.
    pub reserve: Amount,
    /// Of the reserve, what escrows of ours hold; it comes back with them.
    pub reserve_escrows: Amount,
}

/// What we pay with, in stroops of the payment asset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paying {
    /// In escrows that we funded, signed parts included.
    pub escrows: Amount,
    /// Of that, signed to payees and not landed: theirs already.
    pub signed: Amount,
    /// Of that, still to sign.
    pub free: Amount,
    /// Paid ahead to the hops of open circuits and not yet used up: what payees owe us in service.
    pub credit: Amount,
}

/// What we were paid, in stroops of the payment asset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Earning {
    /// Claims that we hold and that have not landed.
    pub claims: Amount,
    /// Landed in escrows that are still open; it is on the account. It falls when an escrow ends: see `earned`.
    pub landed: Amount,
}

/// Where this node's money is: on the account, in escrows, signed, paid ahead, earned.
#[utoipa::path(get, path = "/api/balance", responses((status = 200, body = Balance)))]
pub(super) async fn get(State(api): State<Api>) -> Answer<Balance> {
    Ok(Json(api.backend.balance().await?))
}
