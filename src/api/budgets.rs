//! GET and PUT /api/budgets
use super::amount::Amount;
use super::problem::{Answer, Told};
use super::{Api, State};
use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What this client lets itself spend, and what it asks its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Budgets {
    /// Ceilings and budgets in force.
    pub limits: Limits,
    /// Who is paid without asking, sorted by target.
    pub rules: Vec<Rule>,
    /// Days since 1970 (UTC) that `lines` are of.
    pub day: u64,
    /// For everything, each kind, and each site that has a rule.
    pub lines: Vec<Line>,
    /// Payments that wait for the owner's word, oldest first.
    pub approvals: Vec<Approval>,
}

/// Ceilings and budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// For everything, per day.
    pub day: Amount,
    /// For each site, per day.
    pub site: Amount,
    /// For each kind of service, per day.
    pub kinds: PerKind,
    /// Highest price taken, stroops per MiB.
    pub price_ceilings: PerKind,
    /// Highest fee taken for passing a payment on.
    pub fee_ceiling: Amount,
}

/// An amount for each kind of service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PerKind {
    /// Circuits.
    pub tor: Amount,
    /// Content.
    pub ipfs: Amount,
    /// Web services.
    pub http: Amount,
}

/// A kind of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Circuits.
    Tor,
    /// Content.
    Ipfs,
    /// Web services.
    Http,
}

/// What a rule or a budget is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Everything.
    All,
    /// One kind of service.
    Kind(Kind),
    /// One site, `host[:port]` as it is paid: in lower case, the port unless it is 80, punycode, IPv6 in brackets.
    Site(String),
}

/// What happens to a payment that is inside ceilings and budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is made.
    Auto,
    /// The owner is asked first.
    Ask,
    /// It is refused.
    Never,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is about.
    pub target: Target,
    /// What happens.
    pub mode: Mode,
    /// For a site: its budget per day in the place of `limits.site`.
    #[serde(default)]
    pub day: Option<Amount>,
}

/// One budget of the day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Of what.
    pub target: Target,
    /// Per day.
    pub limit: Amount,
    /// Signed away today.
    pub spent: Amount,
    /// Set aside for payments under way.
    pub reserved: Amount,
    /// What is left.
    pub left: Amount,
}

/// A payment that waits for the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// Names it; at most 2^53 - 1.
    pub id: u64,
    /// What is sold.
    pub kind: Kind,
    /// `host[:port]` of a web service; null for the relays of circuits.
    pub site: Option<String>,
    /// All that is to be paid now: a web service and the fees of the relays that pass it on, or what the relays of the
    /// circuit that asked are due.
    pub amount: Amount,
    /// Stroops per MiB.
    pub price: Amount,
    /// Unix milliseconds: asked for first.
    pub since: u64,
    /// Unix milliseconds: gone then.
    pub until: u64,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Other ceilings and budgets. Payments of which nothing is signed yet are decided anew, and so they are when rules
    /// change; what is set aside for the others stays set aside.
    SetLimits(Limits),
    /// A new rule, or another one for the same target.
    SetRule(Rule),
    /// The rule for this target goes.
    RemoveRule(Target),
    /// The owner's word on a payment that waits.
    Decide(Word),
}

/// The owner's word on a payment that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// Which.
    pub approval: u64,
    /// Pay it?
    pub allow: bool,
    /// Make that the rule for this site, or for this kind when there is no site.
    pub remember: bool,
}

/// Ceilings, budgets, rules, what of them is used, and which payments wait for the owner.
#[utoipa::path(get, path = "/api/budgets", responses((status = 200, body = Budgets)))]
pub(super) async fn get(State(api): State<Api>) -> Answer<Budgets> {
    Ok(Json(api.backend.budgets(None).await?))
}

/// Makes one change; answers as GET does, after it is durable.
#[utoipa::path(put, path = "/api/budgets", request_body = Change, responses((status = 200, body = Budgets)))]
pub(super) async fn put(State(api): State<Api>, Told(change): Told<Change>) -> Answer<Budgets> {
    Ok(Json(api.backend.budgets(Some(change)).await?))
}
