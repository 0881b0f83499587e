//! What a person asks of the policy and gets to see of it.
use super::Limits;
use super::account::Account;
use super::approvals::Approval;
use super::rules::{Policy, Rule, Target};
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// A question or a change; each is answered with the [`PolicyView`] that it leads to, or with an error `MW-POL-*` that
/// changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyAsk {
    /// As it stands.
    Get,
    /// Other ceilings and budgets; what is reserved stays reserved.
    SetLimits(Box<Limits>),
    /// A new rule, or another one for the same target.
    SetRule(Rule),
    /// The rule for this target goes.
    RemoveRule(Target),
    /// A person's word on a payment that waits.
    Decide {
        /// Of [`Approval`].
        approval: u64,
        /// Pay it?
        allow: bool,
        /// Make that the rule for this site, or for this kind when there is no site.
        remember: bool,
    },
}

/// Limits, rules, what is used of the budgets, who waits for a word, and how the account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// In force.
    pub policy: Policy,
    /// Days since 1970 (UTC) that `budgets` are of.
    pub day: u64,
    /// For everything, each kind, and each site that has a rule.
    pub budgets: Vec<BudgetLine>,
    /// Payments that wait for a person, oldest first.
    pub approvals: Vec<Approval>,
    /// How the account stands.
    pub account: Account,
}

/// One budget of the day, in stroops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetLine {
    /// Of what.
    pub target: Target,
    /// Per day.
    pub limit: Stroops,
    /// Signed away today.
    pub spent: Stroops,
    /// Set aside for payments under way.
    pub reserved: Stroops,
    /// What is left.
    pub left: Stroops,
}
