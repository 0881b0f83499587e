//! GET /api/links
use super::amount::Amount;
use super::page;
use super::problem::{Answer, Asked, Problem};
use super::{Api, State};
use crate::gateway::core::message::Id;
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Links and what they tie up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// Of all links, not of this page.
    pub liquidity: Liquidity,
    /// How many there are.
    pub count: u64,
    /// A page of them, in the order of their names.
    pub links: Vec<Link>,
}

/// The operator's money in escrows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Liquidity {
    /// The most that may be out: `links.liquidity` of the configuration.
    pub limit: Amount,
    /// Out now, or promised.
    pub tied_up: Amount,
    /// What another escrow may take.
    pub left: Amount,
    /// Of `tied_up`: in escrows that are being opened.
    pub opening: Amount,
    /// Of `tied_up`: in escrows that claims go to.
    pub open: Amount,
    /// Of `tied_up`: in escrows that a newer one took over, until the last flush and the period.
    pub retired: Amount,
    /// Of `tied_up`: on its way back.
    pub returning: Amount,
    /// Of `tied_up`: in escrows that are over, where nothing brings it back.
    pub stranded: Amount,
    /// Escrows of ours that are not over.
    pub escrows: u64,
    /// Native stroops of reserves that they hold; they come back with the deposit.
    pub reserves: Amount,
}

/// A payer and a payee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Names it, 32 hex digits; also the cursor for `after`.
    pub link: String,
    /// Our end.
    pub role: LinkRole,
    /// Identity of the relay at the other end, 40 hex digits; null for a client or a service.
    pub partner: Option<String>,
    /// Number of the account of ours that it sees.
    pub account: u8,
    /// Is there a circuit to it?
    pub connected: bool,
    /// We close it.
    pub closing: bool,
    /// Its escrows, oldest first.
    pub lanes: Vec<Lane>,
}

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkRole {
    /// Signs claims.
    Payer,
    /// Holds and lands them.
    Payee,
}

/// One escrow of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lane {
    /// Its account, `G…`.
    pub escrow: String,
    /// Where it stands, e.g. `open`.
    pub state: String,
    /// What was deposited.
    pub deposit: Amount,
    /// Payer: signed in all. Payee: credited in all.
    pub total: Amount,
    /// Payee: landed and held. Payer: as `total`.
    pub claimed: Amount,
    /// Landed.
    pub landed: Amount,
    /// Set off against what the partner owed the other way.
    pub netted: Amount,
    /// Under a lock whose secret this end does not know yet: beside `total`.
    pub locked: Amount,
    /// The open epoch.
    pub epoch: u32,
    /// A flush is under way.
    pub flushing: bool,
    /// Payer: of our liquidity.
    pub tied_up: Amount,
    /// Payee: why the flush waits, `MW-ESC-20` to `-23`.
    pub blocked: Option<String>,
}

/// Which links.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Rows, 1 to 10000, else 100.
    limit: Option<u32>,
    /// Name of the last link of the page before.
    after: Option<String>,
}

/// Links with their lanes, and how the operator's liquidity is used.
#[utoipa::path(get, path = "/api/links", params(Query), responses((status = 200, body = Links)))]
pub(super) async fn get(State(api): State<Api>, Asked(query): Asked<Query>) -> Answer<Links> {
    let after = query.after.map(|text| {
        let mut id: Id = [0; 16];
        let read = hex::decode_to_slice(&text, &mut id).map(|()| id);
        read.map_err(|_| Problem::unfit("after is the name of a link: 32 hex digits"))
    });
    Ok(Json(api.backend.links(page::limit(query.limit)?, after.transpose()?).await?))
}
