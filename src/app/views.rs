//! The gateway's books in the words of the API.
use crate::api::balance::{Earning, Paying};
use crate::api::{amount::Amount, budgets, close, events, history, links, offers, payments, requests, state};
use crate::error::{Error, Result};
use crate::gateway::chain::pay::{CircuitStatus, HopStatus};
use crate::gateway::chain::{PaymentRow, PaymentState};
use crate::gateway::core::message::{Offer, ServiceKind};
use crate::gateway::core::policy;
use crate::gateway::link::{LaneSummary, LinkSummary, Liquidity, Partner, Returning, Role};
use crate::gateway::node::Status;
use crate::gateway::port::{MoneyEvent, RequestOutcome, RequestRow};
use crate::stellar::keys::account_id;
use crate::store::Bin;
use crate::units::{Price, Stroops};

pub fn payment(row: &PaymentRow) -> payments::Payment {
    let payee = |share: &crate::gateway::chain::PayeeShare| payments::Payee {
        account: account_id(&share.account),
        name: share.name.clone(),
        due: share.due.into(),
        fee: share.fee.into(),
    };
    payments::Payment {
        cursor: payments::cursor(row.at, &row.id),
        id: hex::encode(row.id),
        at: row.at,
        state: match row.state {
            PaymentState::Signed => payments::PaymentState::Signed,
            PaymentState::Complete => payments::PaymentState::Complete,
            PaymentState::Abandoned => payments::PaymentState::Abandoned,
            PaymentState::Expired => payments::PaymentState::Expired,
        },
        locked: row.lock.is_some(),
        service: row.service.clone(),
        site: row.site.clone(),
        total: row.total.into(),
        payees: row.payees.iter().map(payee).collect(),
        create_ms: row.create_ms,
        sign_ms: row.sign_ms,
        deliver_ms: row.deliver_ms,
    }
}

pub fn line(event: &MoneyEvent) -> events::JournalLine {
    events::JournalLine {
        at: event.at,
        what: event.what.clone(),
        link: event.link.map(hex::encode),
        hop: event.hop.map(hex::encode),
        amount: event.amount.into(),
        fee: Amount(event.fee),
        tx: event.tx.map(hex::encode),
    }
}

pub fn request(row: &RequestRow) -> requests::PaymentRequest {
    requests::PaymentRequest {
        id: hex::encode(row.id),
        at: row.at,
        kind: row.kind.clone(),
        who: row.who.clone(),
        site: row.site.clone(),
        due: row.due.into(),
        outcome: match row.outcome {
            RequestOutcome::Paid => requests::Outcome::Paid,
            RequestOutcome::Refused => requests::Outcome::Refused,
            RequestOutcome::Held => requests::Outcome::Held,
        },
        code: row.code.clone(),
    }
}

pub fn bin(bin: Bin) -> history::Bin {
    let paid = bin.paid.into_iter().map(|(service, sum)| {
        let paid = history::Paid { payments: sum.payments, amount: sum.amount.into() };
        (service, paid)
    });
    history::Bin { at: bin.from_ms, requests: bin.requests, refused: bin.refused, paid: paid.collect() }
}

pub fn liquidity(of: &Liquidity) -> links::Liquidity {
    links::Liquidity {
        limit: of.total.into(),
        tied_up: of.tied_up.into(),
        left: of.free.into(),
        opening: of.states.opening.into(),
        open: of.states.open.into(),
        retired: of.states.retired.into(),
        returning: of.states.returning.into(),
        stranded: of.states.stranded.into(),
        escrows: of.escrows as u64,
        reserves: Amount(of.reserves),
    }
}

pub fn link(link: &LinkSummary) -> links::Link {
    links::Link {
        link: hex::encode(link.link),
        role: match link.role {
            Role::Payer => links::LinkRole::Payer,
            Role::Payee => links::LinkRole::Payee,
        },
        partner: match link.partner {
            Partner::Relay(id) => Some(hex::encode(id)),
            Partner::Anonymous => None,
        },
        account: link.own,
        connected: link.connected,
        closing: link.closing,
        lanes: link.lanes.iter().map(lane).collect(),
    }
}

fn lane(lane: &LaneSummary) -> links::Lane {
    links::Lane {
        escrow: account_id(&lane.escrow),
        state: lane.state.into(),
        deposit: lane.deposit.into(),
        total: lane.total.into(),
        claimed: lane.claimed.into(),
        landed: lane.landed.into(),
        netted: lane.netted.into(),
        locked: lane.locked.into(),
        epoch: lane.epoch,
        flushing: lane.flushing,
        tied_up: lane.tied_up.into(),
        blocked: lane.blocked.map(Into::into),
    }
}

pub fn returning(deposit: &Returning) -> close::Returning {
    close::Returning {
        link: hex::encode(deposit.link),
        escrow: account_id(&deposit.escrow),
        state: deposit.state.into(),
        amount: deposit.amount.into(),
        due_ms: deposit.due_ms,
    }
}

/// What is out in escrows, signed, paid ahead and earned: sums over all links and circuits.
pub fn sums(status: &Status) -> (Paying, Earning) {
    let lanes = |role| status.links.iter().filter(move |link| link.role == role).flat_map(|link| &link.lanes);
    let sum =
        |amounts: &mut dyn Iterator<Item = Stroops>| amounts.fold(0u64, |sum, amount| sum.saturating_add(amount.get()));
    let escrows = sum(&mut lanes(Role::Payer).map(|lane| lane.tied_up));
    let signed = sum(&mut lanes(Role::Payer).map(|lane| lane.total.saturating_sub(lane.landed)));
    let credit = sum(&mut status.circuits.iter().flat_map(|circuit| &circuit.hops).map(credit));
    let claims = sum(&mut lanes(Role::Payee).map(|lane| lane.claimed.saturating_sub(lane.landed)));
    let landed = sum(&mut lanes(Role::Payee).map(|lane| lane.landed));
    let paying = Paying {
        escrows: Amount(escrows),
        signed: Amount(signed),
        free: Amount(escrows.saturating_sub(signed)),
        credit: Amount(credit),
    };
    (paying, Earning { claims: Amount(claims), landed: Amount(landed) })
}

/// Paid to a hop and not yet used up.
fn credit(hop: &HopStatus) -> Stroops {
    let Some(offer) = &hop.offer else { return Stroops::ZERO };
    let used = offer.price.of_cells(hop.inward.saturating_add(hop.outward)).unwrap_or(Stroops::MAX);
    hop.paid.saturating_sub(used)
}

/// What the hops of a circuit ask.
pub fn hop_offers(circuit: &CircuitStatus) -> impl Iterator<Item = offers::HopOffer> {
    (1..).zip(&circuit.hops).filter_map(|(hop, status)| {
        let offer = status.offer.as_ref()?;
        Some(offers::HopOffer {
            circuit: circuit.circ,
            hop,
            name: status.nickname.clone(),
            terms: offers::Terms {
                price: offer.price.into(),
                fee: offer.fee.into(),
                credit_bytes: offer.credit_bytes,
                ahead_bytes: offer.ahead_bytes,
            },
            expires: offer.expires,
            due: status.due.map(Into::into),
            paid: status.paid.into(),
        })
    })
}

/// What a web service sells.
pub fn terms(offer: &Offer) -> offers::Terms {
    offers::Terms {
        price: offer.price.into(),
        fee: offer.fee.into(),
        credit_bytes: offer.credit_bytes,
        ahead_bytes: offer.ahead_bytes,
    }
}

pub fn account(account: &policy::Account) -> state::Account {
    state::Account {
        state: match account.state {
            policy::AccountState::Trial => state::AccountState::Trial,
            policy::AccountState::Paying => state::AccountState::Paying,
            policy::AccountState::Low => state::AccountState::Low,
            policy::AccountState::OutOfFundsAsset => state::AccountState::OutOfFundsAsset,
            policy::AccountState::OutOfFundsNative => state::AccountState::OutOfFundsNative,
            policy::AccountState::Offline => state::AccountState::Offline,
        },
        text: account.text.into(),
        advice: account.advice.into(),
        number: account.own,
        spendable: account.spendable.map(Into::into),
        native: account.native.map(Amount),
        seen_ms: account.seen_ms,
        no_circuit: account.no_circuit,
    }
}

pub fn budgets(view: &policy::PolicyView) -> budgets::Budgets {
    let limits = &view.policy.limits;
    let line = |line: &policy::BudgetLine| budgets::Line {
        target: target(&line.target),
        limit: line.limit.into(),
        spent: line.spent.into(),
        reserved: line.reserved.into(),
        left: line.left.into(),
    };
    let approval = |waits: &policy::Approval| budgets::Approval {
        id: waits.id,
        kind: kind(waits.kind),
        site: waits.site.clone(),
        amount: waits.amount.into(),
        price: waits.price.into(),
        since: waits.since,
        until: waits.until,
    };
    budgets::Budgets {
        limits: budgets::Limits {
            day: limits.day.into(),
            site: limits.site.into(),
            kinds: per_kind(limits.kinds),
            price_ceilings: per_kind(limits.price_ceilings),
            fee_ceiling: limits.fee_ceiling.into(),
        },
        rules: view.policy.rules.iter().map(rule).collect(),
        day: view.day,
        lines: view.budgets.iter().map(line).collect(),
        approvals: view.approvals.iter().map(approval).collect(),
    }
}

fn per_kind<A: Into<Amount>>([tor, ipfs, http]: [A; 3]) -> budgets::PerKind {
    budgets::PerKind { tor: tor.into(), ipfs: ipfs.into(), http: http.into() }
}

fn kind(kind: ServiceKind) -> budgets::Kind {
    match kind {
        ServiceKind::Tor => budgets::Kind::Tor,
        ServiceKind::Ipfs => budgets::Kind::Ipfs,
        ServiceKind::Http => budgets::Kind::Http,
    }
}

fn target(target: &policy::Target) -> budgets::Target {
    match target {
        policy::Target::All => budgets::Target::All,
        policy::Target::Kind(of) => budgets::Target::Kind(kind(*of)),
        policy::Target::Site(site) => budgets::Target::Site(site.clone()),
    }
}

fn rule(rule: &policy::Rule) -> budgets::Rule {
    budgets::Rule {
        target: target(&rule.target),
        mode: match rule.mode {
            policy::Mode::Auto => budgets::Mode::Auto,
            policy::Mode::Ask => budgets::Mode::Ask,
            policy::Mode::Never => budgets::Mode::Never,
        },
        day: rule.day.map(Into::into),
    }
}

/// A change of the budgets in the gateway's words. `MW-API-21`: an amount that no ledger can hold.
pub fn change(change: budgets::Change) -> Result<policy::PolicyAsk> {
    Ok(match change {
        budgets::Change::SetLimits(limits) => policy::PolicyAsk::SetLimits(Box::new(policy::Limits {
            day: stroops(limits.day)?,
            site: stroops(limits.site)?,
            kinds: [stroops(limits.kinds.tor)?, stroops(limits.kinds.ipfs)?, stroops(limits.kinds.http)?],
            price_ceilings: [
                Price(limits.price_ceilings.tor.0),
                Price(limits.price_ceilings.ipfs.0),
                Price(limits.price_ceilings.http.0),
            ],
            fee_ceiling: stroops(limits.fee_ceiling)?,
        })),
        budgets::Change::SetRule(rule) => policy::PolicyAsk::SetRule(policy::Rule {
            target: meant(rule.target),
            mode: match rule.mode {
                budgets::Mode::Auto => policy::Mode::Auto,
                budgets::Mode::Ask => policy::Mode::Ask,
                budgets::Mode::Never => policy::Mode::Never,
            },
            day: rule.day.map(stroops).transpose()?,
        }),
        budgets::Change::RemoveRule(target) => policy::PolicyAsk::RemoveRule(meant(target)),
        budgets::Change::Decide(word) => {
            policy::PolicyAsk::Decide { approval: word.approval, allow: word.allow, remember: word.remember }
        }
    })
}

fn meant(target: budgets::Target) -> policy::Target {
    match target {
        budgets::Target::All => policy::Target::All,
        budgets::Target::Kind(budgets::Kind::Tor) => policy::Target::Kind(ServiceKind::Tor),
        budgets::Target::Kind(budgets::Kind::Ipfs) => policy::Target::Kind(ServiceKind::Ipfs),
        budgets::Target::Kind(budgets::Kind::Http) => policy::Target::Kind(ServiceKind::Http),
        budgets::Target::Site(site) => policy::Target::Site(site),
    }
}

fn stroops(amount: Amount) -> Result<Stroops> {
    let text = "An amount is above 2^63 - 1 stroops, more than a ledger can hold; nothing was changed.";
    amount.stroops().map_err(|_| Error::never("MW-API-21", text))
}
