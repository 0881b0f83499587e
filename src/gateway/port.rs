//! What the pure gateway asks of the world and what the world answers.
//!
//! Every handler gets the time and randomness as arguments and fills an [`Out`]. The reactor commits `rows` first and
//! lets `effects` go only then (invariant 1). Effects may be lost in a crash: each has a timer or a restart rule in
//! the state machine that wants it.
use super::core::message::{AccountKey, Id, Message};
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// A circuit of our own tor process; never used twice within one process, meaningless after a restart.
pub type CircuitId = u64;

/// RSA identity digest of a relay.
pub type RelayId = [u8; 20];

/// Rows to make durable, then effects to release.
#[derive(Debug, Default)]
pub struct Out {
    /// Written in one transaction, in order.
    pub rows: Vec<Row>,
    /// Released after that transaction is durable, in order.
    pub effects: Vec<Effect>,
}

/// One thing that leaves the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// A message over payment cells; `hop` is 0 at a relay (towards the origin), 1.. at an origin.
    Send {
        /// Where.
        circ: CircuitId,
        /// To whom.
        hop: u32,
        /// What.
        message: Message,
    },
    /// A message to a web service in-band over http; its answer comes back as an event with the same `exchange`.
    Http {
        /// Names the exchange for the answer.
        exchange: u64,
        /// What.
        message: Message,
    },
    /// Relay: cells (cumulative over the circuit) that are paid for.
    Grant {
        /// Which circuit.
        circ: CircuitId,
        /// In + out, cumulative.
        cells: u64,
    },
    /// Tell when in + out of (circ, hop) reaches `cells`.
    Watch {
        /// Which circuit.
        circ: CircuitId,
        /// Which hop, 0 at a relay.
        hop: u32,
        /// In + out.
        cells: u64,
    },
    /// Ask for the counters of all hops of a circuit, and at a relay for its neighbours (`Event::Passing`).
    Query {
        /// Which circuit.
        circ: CircuitId,
    },
    /// The answer to `Event::Site` or `Event::Pay` with the same number.
    Answer {
        /// Of the event.
        call: u64,
        /// What to say.
        answer: Answer,
    },
    /// Build a circuit that ends at `relay` for the talk of link partners.
    Launch {
        /// Comes back with the circuit's events.
        token: u64,
        /// The far end.
        relay: RelayId,
        /// Directly (neighbours), else by a path of tor's choice.
        one_hop: bool,
    },
    /// Close a circuit that `Launch` built.
    Close {
        /// Which.
        circ: CircuitId,
    },
    /// Ask the ledger.
    Ledger(LedgerCall),
    /// Origin: no new stream is to be attached to this circuit, which is not paid for; tor builds another by its own
    /// rules when a stream wants one. What it carries already stays.
    Abandon {
        /// Which.
        circ: CircuitId,
    },
}

/// A call to the ledger; `tag` comes back with the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerCall {
    /// Submit a signed envelope (XDR bytes). A lost answer is never a reason to build another transaction.
    Submit {
        /// Comes back.
        tag: u64,
        /// TransactionEnvelope XDR.
        envelope: Vec<u8>,
        /// Its hash, to look it up when the answer is lost.
        hash: [u8; 32],
    },
    /// Read an account.
    Account {
        /// Comes back.
        tag: u64,
        /// Which.
        account: AccountKey,
    },
    /// Look a transaction up by hash.
    Transaction {
        /// Comes back.
        tag: u64,
        /// Which.
        hash: [u8; 32],
    },
    /// Read how late it is on the ledger, and by what an account used its sequence numbers from one on.
    History {
        /// Comes back.
        tag: u64,
        /// Which.
        account: AccountKey,
        /// The lowest number that is asked about.
        from: i64,
    },
}

impl LedgerCall {
    /// What comes back with the answer.
    pub fn tag(&self) -> u64 {
        match self {
            LedgerCall::Submit { tag, .. }
            | LedgerCall::Account { tag, .. }
            | LedgerCall::Transaction { tag, .. }
            | LedgerCall::History { tag, .. } => *tag,
        }
    }
}

/// A hop of a circuit of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Its identity.
    pub relay: RelayId,
    /// For people.
    pub nickname: String,
    /// Whether it understands payment cells.
    pub speaks: bool,
}

/// Own counters of a circuit or of a hop of it, in relay cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Counted {
    /// Towards the origin.
    pub inward: u64,
    /// Away from the origin.
    pub outward: u64,
}

impl Counted {
    /// Both directions.
    pub fn total(self) -> u64 {
        self.inward.saturating_add(self.outward)
    }
}

/// What the world tells the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A circuit that our tor built is open.
    Built {
        /// Its number.
        circ: CircuitId,
        /// Of `Effect::Launch`, 0 for a circuit of tor's own.
        token: u64,
        /// From the guard on.
        path: Vec<Hop>,
    },
    /// A circuit through us as a relay was created or extended.
    Passing {
        /// Its number.
        circ: CircuitId,
        /// The relay before us; none when that is a client.
        prev: Option<RelayId>,
        /// The relay behind us, once there is one.
        next: Option<Hop>,
    },
    /// The first stream of a circuit of ours began.
    Begin {
        /// Which.
        circ: CircuitId,
        /// The conflux set that it is a leg of: streams ride all legs of a set.
        set: Option<u64>,
        /// The stream began on another leg of the set; once more without this when the leg carries something.
        idle: bool,
    },
    /// A whole message came in over payment cells.
    Message {
        /// Over which circuit.
        circ: CircuitId,
        /// From which hop (origin), 0 at a relay.
        hop: u32,
        /// What.
        message: Message,
        /// Our own counters at that moment.
        own: Counted,
        /// The speaker's counters at the moment it spoke (origin only).
        peer: Counted,
    },
    /// Bytes that are no message: answered with a refusal.
    Garbage {
        /// Over which circuit.
        circ: CircuitId,
        /// From which hop.
        hop: u32,
        /// Why.
        code: super::core::message::RefusalCode,
    },
    /// Relay: 0 open, 1 trickle, 2 stopped.
    State {
        /// Which circuit.
        circ: CircuitId,
        /// See above.
        state: u8,
        /// Our counters.
        own: Counted,
    },
    /// `Effect::Watch` fired.
    Watched {
        /// Which circuit.
        circ: CircuitId,
        /// Which hop.
        hop: u32,
        /// Our counters.
        own: Counted,
    },
    /// Answer to `Effect::Query`, one per hop.
    Counters {
        /// Which circuit.
        circ: CircuitId,
        /// Which hop.
        hop: u32,
        /// Our counters.
        own: Counted,
    },
    /// A circuit is gone.
    Closed {
        /// Which.
        circ: CircuitId,
        /// Of `Effect::Launch`.
        token: u64,
        /// Our counters at its end.
        own: Counted,
    },
    /// `Effect::Launch` came to nothing.
    LaunchFailed {
        /// Of the effect.
        token: u64,
    },
    /// The ledger answered.
    Ledger(LedgerAnswer),
    /// Site: a message, or a question whether to serve, from the http front.
    Site {
        /// Names the call for `Effect::Answer`.
        call: u64,
        /// What is asked.
        ask: SiteAsk,
    },
    /// Site: body bytes of a session went out.
    Served {
        /// Which session.
        session: Id,
        /// Bytes.
        bytes: u64,
    },
    /// Client: pay what a web service asked for over a stream of this circuit.
    Pay {
        /// Names the call for `Effect::Answer`.
        call: u64,
        /// The circuit that carried the stream.
        circ: CircuitId,
        /// Names the talk with the service (`Effect::Http`).
        exchange: u64,
        /// What it sells.
        offer: super::core::message::Offer,
        /// What it asks.
        request: super::core::message::PaymentRequest,
        /// `host[:port]`, for budgets and the person's books.
        site: String,
    },
    /// The web service's answer to `Effect::Http`, empty when it could not be reached.
    Http {
        /// Of the effect.
        exchange: u64,
        /// What it said.
        messages: Vec<Message>,
    },
    /// How far tor is: it builds circuits, or it does not yet.
    Tor {
        /// It does.
        up: bool,
    },
    /// Time passes (about four times a second).
    Tick,
    /// Flush what can be flushed.
    Flush,
    /// Close all links on which we pay; answered with what comes back.
    Close {
        /// Names the call for `Effect::Answer`.
        call: u64,
    },
    /// A person looks at the policy or changes it; answered with `Answer::Policy`, or `Answer::Unchanged`.
    Policy {
        /// Names the call for `Effect::Answer`.
        call: u64,
        /// What is asked.
        ask: super::core::policy::PolicyAsk,
    },
}

/// What the http front of a site asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiteAsk {
    /// A message of a session (none: a new one).
    Message {
        /// Which session.
        session: Option<Id>,
        /// What.
        message: Message,
    },
    /// May a response be served?
    Require {
        /// Which session.
        session: Option<Id>,
        /// Length of the response when that is known.
        need: u64,
    },
}

/// Answers to `Event::Site`, `Event::Pay`, `Event::Close` and `Event::Policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Messages of the gateway.
    Messages(Vec<Message>),
    /// Serve: so many bytes of the session are covered, cumulative over its life.
    Serve {
        /// Which session.
        session: Id,
        /// Bytes that may have been served in all.
        covered: u64,
        /// Bytes that were, as far as `Event::Served` said so.
        served: u64,
        /// The session has paid for some of it.
        paid: bool,
    },
    /// Ask for payment first.
    Pay {
        /// The offer, its session included.
        offer: Box<super::core::message::Offer>,
        /// The request.
        request: Box<super::core::message::PaymentRequest>,
    },
    /// The payment is complete; as it stands in the books.
    Paid(Box<super::chain::PaymentRow>),
    /// It is not, and nothing was signed.
    Failed(super::core::message::RefusalCode),
    /// It is not, and the client's own claim was signed: asking again would pay again.
    Lost(super::core::message::RefusalCode),
    /// All links on which we pay are being closed: what comes back, and when.
    Closing(Vec<super::link::Returning>),
    /// The policy as it stands now, durable. Never handed on between processes.
    #[serde(skip)]
    Policy(Box<super::core::policy::PolicyView>),
    /// It could not be changed as asked (`MW-POL-*`), and nothing was. Never handed on between processes.
    #[serde(skip)]
    Unchanged(crate::error::Error),
}

impl Answer {
    /// Is it sensible to ask for the same payment again soon? Never once something was signed: that would pay twice.
    pub fn may_be_asked_again(&self) -> bool {
        use super::core::message::RefusalCode;
        use super::core::refusal::RetryClass;
        matches!(self, Answer::Failed(code) if code.retry() == RetryClass::Later || *code == RefusalCode::NO_LINK)
    }
}

/// The ledger's answer to the call with the same tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAnswer {
    /// Of the call.
    pub tag: u64,
    /// What it says.
    pub result: LedgerResult,
}

/// What a ledger can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerResult {
    /// The transaction is in a ledger; `success` says whether its operations applied (the sequence number is used
    /// and the fee is paid either way).
    Landed {
        /// The ledger that holds it.
        ledger: u32,
        /// Whether it applied.
        success: bool,
        /// Fee charged, in stroops of the native asset.
        fee: u64,
        /// Horizon's result code of the (inner) transaction.
        code: String,
    },
    /// Refused on submission: it is in no ledger and will not be, unless it is submitted again.
    Rejected {
        /// Horizon's code, e.g. `tx_bad_seq`.
        code: String,
    },
    /// No such transaction or account on the ledger (answer to a look-up).
    NotFound,
    /// An account as it stands.
    Account(Box<AccountView>),
    /// What an account did.
    History(Box<AccountHistory>),
    /// Nobody knows: time-out, outage, back-off. Look up by hash before anything else.
    Unknown {
        /// For the log.
        why: String,
    },
}

/// What we read of an account; all that an escrow check needs.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountView {
    /// Whose.
    pub account: AccountKey,
    /// Current sequence number.
    pub sequence: i64,
    /// Ledger and unix time of the last sequence change, 0 = never since creation.
    pub sequence_ledger: u32,
    /// See `sequence_ledger`.
    pub sequence_time: u64,
    /// Native balance and liabilities, stroops.
    pub native: i64,
    /// Selling + buying liabilities over all balances.
    pub liabilities: i64,
    /// Entries that count for the reserve.
    pub subentries: u32,
    /// Entries that this account sponsors.
    pub sponsoring: u32,
    /// Entries of this account that others sponsor.
    pub sponsored: u32,
    /// Low, medium, high.
    pub thresholds: [u8; 3],
    /// (key strkey as Horizon prints it, weight), master included.
    pub signers: Vec<(String, u8)>,
    /// Trustlines: (asset code, issuer, balance, limit, authorised, clawback enabled).
    pub trustlines: Vec<TrustlineView>,
    /// Number of data entries.
    pub data_entries: u32,
    /// Latest ledger when this was read.
    pub latest_ledger: u32,
}

/// What an account did with its sequence numbers. The clock was read first: a number that is not used here was not used
/// when `closed_at` was the time.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountHistory {
    /// Unix seconds at which the latest ledger closed.
    pub closed_at: u64,
    /// Envelopes (XDR) of its own transactions, failed ones too, newest first, down to the number that was asked about.
    pub envelopes: Vec<Vec<u8>>,
    /// Its sequence number.
    pub sequence: i64,
}

/// One trustline of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustlineView {
    /// Asset code.
    pub code: String,
    /// Its issuer.
    pub issuer: AccountKey,
    /// Stroops.
    pub balance: i64,
    /// Stroops.
    pub limit: i64,
    /// May it send and receive?
    pub authorized: bool,
    /// Could the issuer take it back?
    pub clawback: bool,
}

/// One durable fact. Rows of a kind are upserted by their key, `Event`s are appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// A link and its partners.
    Link(Box<super::link::LinkRow>),
    /// A lane: escrow account, epoch, claims, flush.
    Escrow(Box<super::link::EscrowRow>),
    /// A payment at this node, by hop id: what was promised and answered, so that a repeat gets the same answer.
    Hop(Box<super::chain::HopRow>),
    /// A payment as the client sees it, one row per payee and pass.
    Payment(Box<super::chain::PaymentRow>),
    /// The append-only journal of money events.
    Event(MoneyEvent),
    /// Ceilings, budgets and rules of the paying side; there is one such row.
    Policy(Box<super::core::policy::PolicyRow>),
    /// A payment request as the paying side met it; the store keeps the newest ones.
    Request(Box<RequestRow>),
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyEvent {
    /// Unix milliseconds.
    pub at: u64,
    /// e.g. `claim_signed`, `claim_accepted`, `flush_submitted`, `flush_landed`, `escrow_opened`.
    pub what: String,
    /// Link, if any.
    pub link: Option<Id>,
    /// Payment, if any.
    pub hop: Option<Id>,
    /// Stroops of the payment asset.
    pub amount: Stroops,
    /// Fee in native stroops.
    pub fee: u64,
    /// Hash of the ledger transaction that the line is about, where there is one.
    #[serde(default, with = "super::link::hexed::option")]
    pub tx: Option<[u8; 32]>,
}

/// A payment request that the paying side got: written when it came, and again under the same id when its outcome is
/// another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// Drawn by the paying side.
    #[serde(with = "super::link::hexed")]
    pub id: Id,
    /// Unix milliseconds.
    pub at: u64,
    /// `tor`, `ipfs` or `http`.
    pub kind: String,
    /// Who asked, for people: nickname of a relay, or host of a service.
    pub who: String,
    /// For a web service its `host[:port]`.
    pub site: Option<String>,
    /// What it asked for.
    pub due: Stroops,
    /// What became of it.
    pub outcome: RequestOutcome,
    /// Why it was refused or held: the stable name of a refusal.
    pub code: Option<String>,
}

/// What became of a payment request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestOutcome {
    /// A payment for it is complete.
    Paid,
    /// It was not and will not be paid.
    Refused,
    /// It waits: for a person's word, for funds, or for a payment that is under way.
    Held,
}

impl RequestOutcome {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            RequestOutcome::Paid => "paid",
            RequestOutcome::Refused => "refused",
            RequestOutcome::Held => "held",
        }
    }
}
