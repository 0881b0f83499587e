//! All links of a node in memory, as the rows say; finding them; and what every other file here needs to change them.
use super::call_back::CallBack;
use super::dial::{Circuit, Dial};
use super::identity::{self, Identity};
use super::index::Index;
use super::ledger::Ask;
use super::limits::Limits;
use super::lock::LockNews;
use super::purse::Own;
use super::rows::{EscrowRow, EscrowState, Held, LinkRow, Partner, Role};
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, Claim, Id, Message, RefusalCode};
use crate::gateway::port::{CircuitId, Effect, MoneyEvent, Out, RelayId, Row};
use crate::stellar::keys::{ACCOUNTS, SecretSeed};
use crate::stellar::template::EscrowTerms;
use crate::units::Stroops;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// All links of this node, both roles.
#[derive(Debug)]
pub struct Links {
    pub(super) me: Identity,
    pub(super) limits: Limits,
    pub(super) links: BTreeMap<Id, Link>,
    pub(super) lanes: BTreeMap<AccountKey, Lane>,
    pub(super) index: Index,
    pub(super) dials: BTreeMap<(RelayId, Role), Dial>,
    pub(super) circuits: HashMap<CircuitId, Circuit>,
    pub(super) calls: Vec<CallBack>,
    /// When strangers' circuits were looked at last.
    pub(super) named_ms: u64,
    pub(super) asks: HashMap<u64, Ask>,
    /// Counts tags and tokens; never used twice within a process.
    pub(super) counter: u64,
    /// The next escrow's counter; as durable as the rows, which are written before their key is used.
    pub(super) next_index: u32,
    /// A settlement of both directions that we are about to propose or have proposed; one at a time.
    pub(super) net: Option<super::net::NetWish>,
    /// When a client whose circuit ends here paid us last, unix milliseconds; 0: not since the start.
    pub(super) backed_ms: u64,
    /// Left in escrows that are over.
    pub(super) stranded: Stroops,
    /// The last lane and the last link that a tick looked after.
    pub(super) looked: (AccountKey, Id),
    /// No new lanes before: everything was being closed.
    pub(super) rest_ms: u64,
    /// What became of locks of ours, until it is taken; at most one per lane and lock.
    pub(super) news: Vec<LockNews>,
    /// Our accounts by number, as the ledger last showed them.
    pub(super) own: Vec<Own>,
    /// Since when the ledger was asked in vain, 0 = it was not.
    pub(super) deaf_since_ms: u64,
    /// A lane that is over was paid on.
    pub(super) paid: bool,
}

/// A link and what need not survive a restart.
#[derive(Debug)]
pub(super) struct Link {
    pub row: LinkRow,
    /// Our signing key.
    pub signer: SecretSeed,
    /// The partner's talk goes over this circuit.
    pub circ: Option<CircuitId>,
    /// The partners agreed on the link over this circuit.
    pub agreed: bool,
    /// Payer: hello sent, accept awaited. Payee: accepted, no escrow offered. There is no row yet.
    pub tentative: bool,
    /// Since when there is no circuit.
    pub idle_ms: u64,
    /// The partner refused; no new lane before this.
    pub refused_ms: u64,
}

/// A lane and what need not survive a restart.
#[derive(Debug)]
pub(super) struct Lane {
    pub row: EscrowRow,
    /// Tag of the question to the ledger that is open, and when it was asked.
    pub busy: Option<(u64, u64)>,
    /// Nothing to be done before this.
    pub due_ms: u64,
    /// Fruitless tries of the current step.
    pub tries: u32,
    /// The transaction at hand was handed to the ledger by this process, or its fate was looked up.
    pub submitted: bool,
    /// E should be read again.
    pub look: bool,
    /// Left escrow, sequence number: E as last read.
    pub seen: Option<(Stroops, i64)>,
    /// Payee: next flush.
    pub flush_ms: u64,
    /// Payee: what the payer signed for the flush of this epoch, until that is sent.
    pub acked: Option<(u32, Held)>,
    /// A claim of an epoch beyond the open one, signed by the payer, which our store knows nothing of: E is read first.
    pub ahead: Option<Claim>,
    /// Payee: an epoch was closed because of such a claim. Once: a store is put back only across a start, and the payer
    /// would decide else when and how little is flushed at our cost.
    pub put_back: bool,
    /// Payee: why the flush waits, as our own account showed it.
    pub blocked: Option<&'static str>,
    /// Flushes, refunds or reclaims that failed in a row.
    pub failures: u32,
    /// Payee: the payer wants the deposit back, having signed so much in all.
    pub close_asked: Option<Stroops>,
    /// Payee: the payer's next wish for a flush is heard then.
    pub asks_ms: u64,
    /// Payer, after the refund: what is in E.
    pub rest: Option<Stroops>,
    /// How often in a row E was not there.
    pub gone: u32,
}

/// A link as a status page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkSummary {
    /// Names the link.
    #[serde(with = "super::hexed")]
    pub link: Id,
    /// Our end.
    pub role: Role,
    /// The other end.
    pub partner: Partner,
    /// Number of the account of ours that the other end sees.
    pub own: u8,
    /// Is there a circuit to the partner?
    pub connected: bool,
    /// We close it.
    pub closing: bool,
    /// The lanes, oldest first.
    pub lanes: Vec<LaneSummary>,
}

/// A lane as a status page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneSummary {
    /// E.
    #[serde(with = "super::hexed")]
    pub escrow: AccountKey,
    /// `EscrowState::name`.
    pub state: &'static str,
    /// What was deposited.
    pub deposit: Stroops,
    /// Payer: signed in all. Payee: credited in all.
    pub total: Stroops,
    /// Payee: landed and held. Payer: as `total`.
    pub claimed: Stroops,
    /// Landed.
    pub landed: Stroops,
    /// Set off against what the partner owed the other way.
    pub netted: Stroops,
    /// Under a lock whose secret this end does not know yet: beside `total`.
    pub locked: Stroops,
    /// The open epoch.
    pub epoch: u32,
    /// A flush is under way.
    pub flushing: bool,
    /// Payer: stroops of our liquidity that it ties up.
    pub tied_up: Stroops,
    /// Payee: the flush waits because our own account cannot take it; the code of the reason, `MW-ESC-20` to `-23`.
    pub blocked: Option<&'static str>,
}

impl Lane {
    pub(super) fn new(row: EscrowRow) -> Self {
        let look = row.state.is_usable();
        Lane {
            row,
            busy: None,
            due_ms: 0,
            tries: 0,
            submitted: false,
            look,
            seen: None,
            flush_ms: 0,
            acked: None,
            ahead: None,
            put_back: false,
            blocked: None,
            failures: 0,
            close_asked: None,
            asks_ms: 0,
            rest: None,
            gone: 0,
        }
    }
}

impl EscrowRow {
    /// Payee: what it can hope to get on this lane in all. A carry counts for a while before the payer signed it.
    pub(super) fn claimed(&self, now_ms: u64) -> Stroops {
        let carry = self.carry.filter(|c| now_ms < c.until_ms).map_or(Stroops::ZERO, |c| c.amount);
        let frozen = self.frozen.as_ref().map_or(Stroops::ZERO, |f| match f.lands() {
            // Only what is flushed can still land; the rest is in the open epoch already.
            Some(lands) if f.is_late_lock() => lands,
            Some(lands) if f.carried => lands.min(f.held.cumulative),
            _ => f.held.cumulative,
        });
        // A lock whose secret is known is as good as a claim that covers it.
        let revealed = self.lock.as_ref().filter(|l| l.secret.is_some() && l.epoch == self.epoch);
        let held = revealed.map_or(self.held.cumulative, |lock| self.held.cumulative.max(lock.cumulative));
        [frozen, carry, held].into_iter().fold(self.settled(), |sum, part| sum.add(part).unwrap_or(sum))
    }
    /// Payee: what is held in the open epoch and was credited to no payment may be the carry: it must not count twice,
    /// neither as a promise and as a claim, nor later as a payment of its own.
    pub(super) fn note_gap(&mut self) {
        let credited = self.spans.iter().filter(|s| s.epoch == self.epoch).map(|s| s.to.saturating_sub(s.from));
        if self.held.cumulative.get() > credited.sum::<u64>() {
            if let Some(frozen) = &mut self.frozen {
                frozen.carried = true;
            }
            if let Some(carry) = &mut self.carry {
                carry.until_ms = 0;
            }
        }
    }
    /// `numerator`/16 of the observation period after E's last landing, unix milliseconds; 0 when that is unknown.
    pub(super) fn clock_ms(&self, sixteenths: u64) -> u64 {
        if self.seq_time == 0 {
            return 0;
        }
        let part = u64::from(self.clock()).saturating_mul(1000).saturating_mul(sixteenths) / 16;
        self.seq_time.saturating_mul(1000).saturating_add(part)
    }
}

impl Links {
    /// All links from their rows. `MW-LINK-1`: an escrow row without its link; `MW-LINK-2`: one of an account that no
    /// wallet has; `MW-LINK-3`: an escrow that we pay from and that is another wallet's.
    pub fn load(me: Identity, limits: Limits, rows: Vec<LinkRow>, escrows: Vec<EscrowRow>) -> Result<Links> {
        let mut all = Links {
            me,
            limits,
            links: BTreeMap::new(),
            lanes: BTreeMap::new(),
            index: Index::default(),
            dials: BTreeMap::new(),
            circuits: HashMap::new(),
            calls: Vec::new(),
            named_ms: 0,
            asks: HashMap::new(),
            counter: 0,
            next_index: 0,
            net: None,
            backed_ms: 0,
            stranded: Stroops::ZERO,
            looked: ([0; 32], [0; 16]),
            rest_ms: 0,
            news: Vec::new(),
            own: std::iter::repeat_with(Own::default).take(ACCOUNTS.into()).collect(),
            deaf_since_ms: 0,
            paid: false,
        };
        if rows.iter().map(|row| row.own).chain(escrows.iter().map(|row| row.own)).any(|own| own >= ACCOUNTS) {
            let text = "The store has a link of an account that this wallet has not; a newer version wrote it.";
            return Err(Error::never("MW-LINK-2", text));
        }
        for row in rows.into_iter().filter(|row| !row.dropped) {
            let link = all.link_of(row);
            all.add_link(link);
        }
        for mut row in escrows {
            if row.role == Role::Payer {
                if row.escrow != all.me.escrow(row.own, row.index) {
                    let text = "The store has escrows of another wallet; name the wallet that its books belong to.";
                    return Err(Error::never("MW-LINK-3", text));
                }
                all.next_index = all.next_index.max(row.index.saturating_add(1));
            }
            let own = row.state.tx().filter(|_| row.state.uses_own_number()).or(row.net_tx());
            if let Some(tx) = own {
                let sequence = tx.sequence.saturating_sub(1);
                let own = all.own_mut(row.own);
                own.sequence = own.sequence.max(sequence);
            }
            // A row from before deposits came back: E is still there, and the refund is signed.
            let forgotten = row.state == EscrowState::Spent && row.role == Role::Payer && row.returned.is_none();
            if forgotten && row.refund.is_some() && all.links.contains_key(&row.link) {
                row.state = EscrowState::Retired;
            }
            if row.state.is_over() {
                all.strand(&row);
                continue;
            }
            if row.role == Role::Payee && all.links.get(&row.link).is_some_and(|l| !l.row.by_period) {
                row.clock = row.clock().min(all.limits.period_secs);
            }
            if row.state != EscrowState::Spare && !all.links.contains_key(&row.link) {
                let text =
                    "The store has an escrow whose link is gone; restore the store from a backup of this wallet.";
                return Err(Error::never("MW-LINK-1", text));
            }
            all.index.lane(&row);
            all.index.lock(None, &row);
            all.lanes.insert(row.escrow, Lane::new(row));
        }
        for (id, link) in &all.links {
            if let (true, Partner::Relay(relay)) = (link.row.dials, link.row.partner) {
                let wanted = all.lanes_of(id).any(|row| row.is_unsettled());
                all.dials.insert((relay, link.row.role), Dial { own: link.row.own, ..Dial::new(Some(*id), wanted) });
            }
        }
        Ok(all)
    }

    /// The asset that all links are in.
    pub fn asset(&self) -> crate::gateway::core::message::AssetId {
        self.me.asset()
    }

    pub(super) fn link_of(&self, row: LinkRow) -> Link {
        let signer = self.me.signer(&row);
        Link { row, signer, circ: None, agreed: false, tentative: false, idle_ms: 0, refused_ms: 0 }
    }

    /// For a status page; no secrets.
    pub fn summary(&self) -> Vec<LinkSummary> {
        let lane = |row: &EscrowRow| LaneSummary {
            escrow: row.escrow,
            state: row.state.name(),
            deposit: row.deposit,
            total: row.total,
            claimed: if row.role == Role::Payee { row.claimed(0) } else { row.total },
            landed: row.landed,
            netted: row.netted,
            locked: row.locked(),
            epoch: row.epoch,
            flushing: row.frozen.is_some(),
            tied_up: if row.role == Role::Payer { row.tied_up() } else { Stroops::ZERO },
            blocked: self.lanes.get(&row.escrow).and_then(|lane| lane.blocked),
        };
        let summary = |link: &Link| LinkSummary {
            link: link.row.id,
            role: link.row.role,
            partner: link.row.partner,
            own: link.row.own,
            connected: link.circ.is_some(),
            closing: link.row.closing,
            lanes: self.lanes_of(&link.row.id).map(lane).collect(),
        };
        self.links.values().map(summary).collect()
    }

    /// The lanes of a link, oldest first.
    pub(super) fn lanes_of(&self, link: &Id) -> impl Iterator<Item = &EscrowRow> {
        let mut lanes: Vec<&EscrowRow> =
            self.index.lanes_of(link).filter_map(|escrow| self.lanes.get(escrow)).map(|lane| &lane.row).collect();
        lanes.sort_by_key(|row| row.index);
        lanes.into_iter()
    }

    /// The lanes on which we pay: few at a node that many pay.
    pub(super) fn paying_lanes(&self) -> impl Iterator<Item = &Lane> {
        self.index.paying().filter_map(|escrow| self.lanes.get(escrow))
    }

    /// The newest lane that claims go to.
    pub(super) fn open_lane(&self, link: &Id) -> Option<&EscrowRow> {
        self.lanes_of(link).filter(|row| row.state == EscrowState::Open).last()
    }

    /// The live link with this relay in this role whose lanes are the newest.
    pub(super) fn link_with(&self, relay: &RelayId, role: Role) -> Option<&Link> {
        self.index
            .with(relay)
            .filter_map(|id| self.links.get(id))
            .filter(|l| l.row.role == role && !l.tentative)
            .max_by_key(|l| (!l.row.closing, self.open_lane(&l.row.id).is_some(), l.row.since_ms))
    }

    /// The live link with this tag in this role.
    pub(super) fn link_by_tag(&self, tag: &[u8; 8], role: Role) -> Option<&Link> {
        let mut tagged = self.index.tagged(tag).filter_map(|id| self.links.get(id));
        tagged.find(|l| l.row.role == role && !l.tentative)
    }

    /// Keeps a link in memory.
    pub(super) fn add_link(&mut self, link: Link) {
        self.index.link(&link.row);
        self.links.insert(link.row.id, link);
    }

    /// Forgets a link in memory.
    pub(super) fn remove_link(&mut self, id: &Id) -> Option<Link> {
        let link = self.links.remove(id)?;
        self.index.forget_link(&link.row);
        Some(link)
    }

    /// What the partners agreed on for a lane.
    pub(super) fn terms(&self, lane: &EscrowRow) -> Option<EscrowTerms> {
        self.links.get(&lane.link).map(|link| self.me.terms(&link.row, lane, &link.signer))
    }

    /// A lane of `link`, as it stands.
    pub(super) fn lane_on(&self, link: &Id, escrow: &AccountKey) -> Option<EscrowRow> {
        self.lanes.get(escrow).map(|lane| &lane.row).filter(|row| row.link == *link).cloned()
    }

    /// What a lane that is over left in E, because nothing of ours can bring it back: it is still our liquidity.
    fn strand(&mut self, row: &EscrowRow) {
        if row.role == Role::Payer {
            self.stranded = self.stranded.add(row.tied_up()).unwrap_or(Stroops::MAX);
            self.paid |= !row.total.is_zero();
        }
    }

    /// Keeps a lane's new state, in memory and as a row.
    pub(super) fn save(&mut self, row: EscrowRow, out: &mut Out) {
        out.rows.push(Row::Escrow(Box::new(row.clone())));
        if row.state.is_over() {
            self.strand(&row);
            if let Some(lane) = self.lanes.remove(&row.escrow) {
                self.index.lock(lane.row.lock.as_ref(), &EscrowRow { lock: None, ..row });
                self.index.forget_lane(&lane.row);
                let ours = lane.row.lock.filter(|lock| lane.row.role == Role::Payer && lock.offset.is_none());
                self.news.extend(ours.map(|lock| LockNews { own: lock.own, secret: None }));
            }
            return;
        }
        match self.lanes.get_mut(&row.escrow) {
            Some(lane) => {
                if lane.row.link != row.link {
                    self.index.forget_lane(&lane.row);
                    self.index.lane(&row);
                }
                self.index.lock(lane.row.lock.as_ref(), &row);
                if lane.row.state.name() != row.state.name() {
                    (lane.tries, lane.due_ms) = (0, 0);
                }
                lane.row = row;
            }
            None => {
                self.index.lane(&row);
                self.lanes.insert(row.escrow, Lane::new(row));
            }
        }
    }

    /// One line of the journal.
    pub(super) fn note(&self, now_ms: u64, what: &str, lane: &EscrowRow, amount: Stroops, fee: u64, out: &mut Out) {
        self.note_hop(now_ms, what, lane, None, amount, fee, out);
    }

    /// One line of the journal, with a payment's name.
    pub(super) fn note_hop(
        &self,
        now_ms: u64,
        what: &str,
        lane: &EscrowRow,
        hop: Option<Id>,
        amount: Stroops,
        fee: u64,
        out: &mut Out,
    ) {
        let link = Some(lane.link);
        // What cost a fee is the transaction under way on the lane; one that has landed is only in the row from before.
        let before = || self.lanes.get(&lane.escrow).and_then(|entry| entry.row.pending_tx());
        let tx = lane.pending_tx().or_else(before).filter(|_| fee > 0).map(|tx| tx.hash);
        out.rows.push(Row::Event(MoneyEvent { at: now_ms, what: what.into(), link, hop, amount, fee, tx }));
    }

    /// Says something to the partner of a link, when there is a circuit to it.
    pub(super) fn say(&self, link: &Id, message: Message, out: &mut Out) -> bool {
        let Some(circ) = self.links.get(link).and_then(|l| l.circ) else { return false };
        let Some(circuit) = self.circuits.get(&circ) else { return false };
        out.effects.push(Effect::Send { circ, hop: circuit.hop, message });
        true
    }

    /// Refuses something that the partner of a link said.
    pub(super) fn refuse(&self, link: &Id, code: RefusalCode, out: &mut Out) {
        self.say(link, Message::Refusal(code.refuse(*link)), out);
    }

    /// A number that was not used in this process.
    pub(super) fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The newest claim of the open epoch was signed by the payer, over what we rebuild.
    pub(super) fn is_signed(&self, lane: &EscrowRow, claim: &crate::gateway::core::message::Claim) -> bool {
        self.terms(lane).is_some_and(|terms| {
            crate::stellar::template::verify_claim(&terms, claim.epoch, claim.cumulative, &claim.signature).is_ok()
        })
    }

    /// What claims may take from a lane in all.
    pub(super) fn capacity(&self, lane: &EscrowRow) -> Stroops {
        self.terms(lane).map_or(Stroops::ZERO, |terms| terms.spendable())
    }

    /// What left E, as its account shows.
    pub(super) fn left(&self, lane: &EscrowRow, view: &crate::gateway::port::AccountView) -> Stroops {
        identity::left_escrow(&self.me, lane, view)
    }
}
