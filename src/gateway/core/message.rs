//! What the parties of a payment say to each other, over payment cells or in-band over http.
//!
//! Types only; `codec` beside this file turns them into bytes and back, `docs/wire.md` is their specification.
use crate::units::{Price, Stroops};
use serde::{Deserialize, Serialize};

/// Length of ids, nonces and truncated MACs.
pub const ID_LEN: usize = 16;
/// An id that is meaningful to the two ends of one message exchange only.
pub type Id = [u8; ID_LEN];
/// An ed25519 public key: an account on the ledger.
pub type AccountKey = [u8; 32];
/// An ed25519 signature.
pub type Signature = [u8; 64];

/// What is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum ServiceKind {
    /// Relay cells on a tor circuit, both directions.
    Tor = 1,
    /// Blocks served to an IPFS peer.
    Ipfs = 2,
    /// Responses of a web service.
    Http = 3,
}

/// An asset as the ledger knows it: code padded with NUL to 12 bytes, and the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AssetId {
    /// 1 to 12 characters, padded with NUL.
    pub code: [u8; 12],
    /// The issuing account.
    pub issuer: AccountKey,
}

/// Everything that is said. The number is the message type on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    // --- between a client and a payee (a hop, or a service) ---
    /// 1: client -> payee, the first message of a session.
    Hello(Hello),
    /// 2: payee -> client.
    Offer(Offer),
    /// 3: payee -> client.
    PaymentRequest(PaymentRequest),
    /// 4: client -> payee k: make the template of your next claim.
    Create(Create),
    /// 5: payee k -> client.
    Template(Template),
    /// 6: client -> payer k-1: here is my claim on the hop before, sign yours for the next.
    Sign(Sign),
    /// 7: payer k-1 -> client.
    Signed(Signed),
    /// 8: client -> payee k: your signed claim.
    Deliver(Deliver),
    /// 9: payee k -> client.
    Delivered(Delivered),
    /// 10: client -> payee: the whole pass is done.
    Complete(Complete),
    /// 11: anyone: no, with a reason.
    Refusal(Refusal),

    // --- between the partners of a link, on their own circuit ---
    /// 32: first message on a link circuit, from the end that built it.
    LinkHello(LinkHello),
    /// 33: payee -> payer.
    LinkAccept(LinkAccept),
    /// 34: payer -> payee: an escrow account exists on the ledger, please sign its refund.
    EscrowOffer(EscrowOffer),
    /// 35: payee -> payer.
    RefundSigned(RefundSigned),
    /// 36: payer -> payee: the deposit has landed, look at the ledger.
    EscrowReady(EscrowRef),
    /// 37: payee -> payer: verified; claims on it count.
    EscrowOpen(EscrowRef),
    /// 38: payee -> payer: freeze this epoch and sign the amount that I am going to flush.
    FlushBegin(FlushBegin),
    /// 39: payer -> payee.
    FlushAck(Claim),
    /// 40: payee -> payer: the flush is in a ledger (or failed in one): see for yourself.
    FlushDone(FlushDone),
    /// 41: payer -> payee: the newest claim of the open epoch (after a carry, and on re-establish).
    Claim(Claim),
    /// 42: either: this is where I believe that we are.
    Reestablish(Reestablish),
    /// 43: payer -> payee: I want this deposit back; flush what you hold, then sign its close.
    CloseAsk(CloseAsk),
    /// 44: payee -> payer: nothing of mine is in it any more.
    CloseSigned(CloseSigned),
    /// 45: payer -> payee: please flush soon.
    FlushAsk(EscrowRef),
    /// 46: payee -> payer, both relays: let us settle this epoch and one of the other direction by their difference.
    NetPropose(NetPropose),
    /// 47: payer -> payee: both epochs are frozen; my signatures.
    NetAccept(NetAccept),
    /// 48: payee -> payer: the secret of a lock; fold it.
    Reveal(Reveal),
}

impl Message {
    /// Between the partners of a link; all others are of a chain.
    pub fn is_link_talk(&self) -> bool {
        self.kind() >= 32
    }
}

/// 1. Names the network and asset that the client pays in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Highest protocol version that the client speaks.
    pub version: u8,
    /// First 8 bytes of SHA-256 of the network passphrase.
    pub network: [u8; 8],
    /// The asset that the client pays in.
    pub asset: AssetId,
    /// Fresh per session.
    pub nonce: Id,
}

/// 2. What a payee sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Protocol version that both speak.
    pub version: u8,
    /// The payee's account.
    pub payee: AccountKey,
    /// The asset that it takes.
    pub asset: AssetId,
    /// What it sells.
    pub kind: ServiceKind,
    /// Stroops per MiB (Tor, Ipfs, Http).
    pub price: Price,
    /// Stroops kept for each claim that it forwards.
    pub fee: Stroops,
    /// Bytes that it serves before the first payment.
    pub credit_bytes: u32,
    /// Bytes that it suggests to pay ahead.
    pub ahead_bytes: u32,
    /// Unix seconds after which the offer is void.
    pub expires: u64,
    /// Session: 8 bytes drawn at the payee's start, 8 bytes counted.
    pub session: Id,
    /// Key of the MAC in the payment requests of this session.
    pub mac_key: [u8; 32],
    /// Seconds that a lock on the payee has to outlive the one that it signs onwards; 0: it takes no locks.
    pub lock_secs: u16,
    /// Echo of `Hello::nonce`.
    pub nonce: Id,
}

/// 3. What is owed in a session, cumulative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// Fresh per request.
    pub id: Id,
    /// Of the offer.
    pub session: Id,
    /// Of the offer.
    pub kind: ServiceKind,
    /// Units (cells for Tor, bytes else) served towards the payer, cumulative over the session.
    pub units_in: u64,
    /// Units taken from the payer, cumulative over the session.
    pub units_out: u64,
    /// Stroops due, cumulative over the session: what was served and at most `ahead_bytes` more.
    pub amount_due: Stroops,
    /// Stroops that the payee has credited to the session, cumulative.
    pub amount_paid: Stroops,
    /// First 16 bytes of SHA-256 of the offer as encoded.
    pub offer_hash: Id,
    /// Unix seconds.
    pub issued: u64,
    /// Unix seconds.
    pub expires: u64,
    /// 0 served in full, 1 at the trickle rate, 2 stopped.
    pub state: u8,
    /// HMAC-SHA-256 under the session's key over all that stands before, first 16 bytes.
    pub mac: Id,
}

/// 4. Asks payee k for the template of its next claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// HMAC(client secret, request id, hop): names this payment at this hop and nowhere else.
    pub hop_id: Id,
    /// The payee's own request that this payment answers (all zero: only forwards or pays ahead).
    pub request: Id,
    /// What the payee is going to receive, forwarded amounts included.
    pub amount: Stroops,
    /// Who is going to pay the payee.
    pub payer: PayerRef,
    /// Is the claim going to be locked?
    pub lock: LockWish,
}

/// What a `Create` says of the claim that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LockWish {
    /// A plain claim.
    Plain = 0,
    /// A locked one, which the payee signs onwards.
    Onwards = 1,
    /// A locked one, and the payee is the last: it draws the lock.
    Last = 2,
}

/// How a `Create` names the payer: one kind byte and 20 bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayerRef {
    /// 0: the relay before the payee on this circuit.
    Previous,
    /// 1: the client itself, by the tag of its link with the payee (its guard).
    Link([u8; 8]),
    /// 2: to a service: the relay with this RSA identity digest, the exit of the circuit.
    Relay([u8; 20]),
}

impl PayerRef {
    /// The kind byte.
    pub(super) fn kind(self) -> u8 {
        match self {
            PayerRef::Previous => 0,
            PayerRef::Link(_) => 1,
            PayerRef::Relay(_) => 2,
        }
    }
}

/// 5. Payee k's answer: for its payer's eyes, carried by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Of the `Create`.
    pub hop_id: Id,
    /// What the payee keeps for forwarding.
    pub fee: Stroops,
    /// T, when the `Create` says that the payee is the last one of a locked chain; fresh per payment.
    pub lock: Option<LockBytes>,
    /// A sealed `TemplateBody` for payer k-1 (when k = 1 the client is that payer and opens it).
    pub template: Carried,
}

/// The encoding of a lock point.
pub type LockBytes = [u8; 32];

/// Something that a client carries between two partners of a link and cannot read: fixed size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Tells the receiver which link key opens it; fresh per link.
    pub link_tag: [u8; 8],
    /// XChaCha20-Poly1305: 24 bytes nonce, then the ciphertext with its tag.
    pub sealed: Vec<u8>,
}

/// Inside a sealed template: where payee k believes that the lane stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateBody {
    /// Names the payment at payee k.
    pub hop_id: Id,
    /// The escrow account of the lane.
    pub escrow: AccountKey,
    /// The open epoch.
    pub epoch: u32,
    /// The largest valid cumulative amount that the payee holds in this epoch.
    pub cumulative: Stroops,
    /// What the payee expects to be added for this payment.
    pub amount: Stroops,
}

/// 6. To payer k-1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Names this payment at the node that is asked (k-1), as in its `Create`.
    pub hop_id: Id,
    /// What the node receives from the hop before it.
    pub amount_in: Stroops,
    /// What it shall sign for the next one.
    pub amount_out: Stroops,
    /// Its own incoming claim, as the hop before signed it: proof that it is paid.
    pub claim: Carried,
    /// Template of payee k.
    pub template: Carried,
    /// In a locked chain: the lock of what is to be signed.
    pub lock: Option<LockOrder>,
}

/// How payer k-1 is to lock the claim for payee k: under T_k = T_(k-1) - d*B, which it computes itself from the lock of
/// its own incoming claim, so that what opens T_k opens that one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOrder {
    /// d, a scalar.
    pub offset: [u8; 32],
    /// Unix seconds after which the claim can no longer land.
    pub max_time: u64,
}

/// 7. The claim for payee k.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Of the `Sign`.
    pub hop_id: Id,
    /// A sealed `ClaimBody` for payee k.
    pub claim: Carried,
}

/// 8. To payee k.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// Names this payment at payee k.
    pub hop_id: Id,
    /// What it receives.
    pub amount: Stroops,
    /// What makes the claim good.
    pub proof: Proof,
}

/// What a `Deliver` brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// 0: a sealed `ClaimBody` with a plain claim.
    Plain(Carried),
    /// 1: to the last payee of a locked chain: a sealed `ClaimBody` with a locked claim, and r with T_n = T + r*B.
    Locked(Carried, [u8; 32]),
    /// 2: to a node before it: the secret of the lock that its incoming claim is under.
    Secret([u8; 32]),
}

/// 9. Payee k's receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Of the `Deliver`.
    pub hop_id: Id,
    /// Stroops credited to the session, cumulative.
    pub paid: Stroops,
    /// From the last payee of a locked chain: the secret of T_n.
    pub secret: Option<[u8; 32]>,
}

/// 10. The last message of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Names the payment at the receiver.
    pub hop_id: Id,
}

/// 11. No, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is refused: a hop id, a request id, or zeros for the session.
    pub subject: Id,
    /// Why.
    pub code: RefusalCode,
    /// When to try again in milliseconds, 0 = never with the same message.
    pub retry_ms: u32,
}

/// Stable codes; their texts stand in docs/wire.md. Unknown numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefusalCode(pub u16);

/// 32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHello {
    /// Protocol version.
    pub version: u8,
    /// As in `Hello`.
    pub network: [u8; 8],
    /// The asset of the link.
    pub asset: AssetId,
    /// Names the link for both sides: drawn by the payer (zeros from a payee who asks for one).
    pub link: Id,
    /// True when the sender is the payer.
    pub payer: bool,
    /// The sender's account: funds escrows (payer) or is paid (payee).
    pub account: AccountKey,
    /// The sender's signing key in the escrows of this link (zeros from a payee who asks for a link or calls back).
    pub signer: AccountKey,
    /// A payer's offer of a deposit; what a payee asks for.
    pub deposit: Stroops,
    /// Observation period O in seconds.
    pub period: u32,
}

/// 33.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkAccept {
    /// Of the hello (or the payer's new one when the payee asked).
    pub link: Id,
    /// The sender's account.
    pub account: AccountKey,
    /// The sender's signing key.
    pub signer: AccountKey,
    /// Key under which both seal what clients carry between them.
    pub link_key: [u8; 32],
    /// Names the link in what is carried.
    pub link_tag: [u8; 8],
}

/// 34.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowOffer {
    /// The link.
    pub link: Id,
    /// The escrow account.
    pub escrow: AccountKey,
    /// The ledger that created it.
    pub created: u32,
    /// What will be deposited.
    pub deposit: Stroops,
    /// Observation period O in seconds.
    pub period: u32,
}

/// 35.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundSigned {
    /// The escrow account.
    pub escrow: AccountKey,
    /// The payee's signature over the hash of R.
    pub signature: Signature,
}

/// 36, 37, 45.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowRef {
    /// The escrow account.
    pub escrow: AccountKey,
}

/// 38.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushBegin {
    /// The escrow account.
    pub escrow: AccountKey,
    /// The epoch to freeze.
    pub epoch: u32,
    /// Cumulative amount to land, a multiple of the denomination, at most what was signed.
    pub amount: Stroops,
}

/// 39, 41, and inside what is carried: <= 110 bytes; both sides rebuild the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The escrow account.
    pub escrow: AccountKey,
    /// The epoch.
    pub epoch: u32,
    /// Cumulative in the epoch.
    pub cumulative: Stroops,
    /// The payer's signature over the hash of the transaction K.
    pub signature: Signature,
}

/// Inside a sealed claim (`Sign::claim`, `Signed::claim`, `Deliver::claim`): the payer repeats what the payee wrote
/// into its template, so that a carrier cannot turn one payment into the credit of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimBody {
    /// Names the payment at the payee, from `TemplateBody`.
    pub hop_id: Id,
    /// What this payment adds, from `TemplateBody`.
    pub amount: Stroops,
    /// The payer's claim, its amount raised by at least `amount`. Its signature is a pre-signature when it is locked.
    pub claim: Claim,
    /// What stands beside it.
    pub beside: Beside,
}

/// What stands beside a claim; all forms have one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// 0: it is plain.
    Nothing,
    /// 1: it is locked under this point until this time (unix seconds).
    Lock(LockBytes, u64),
    /// 2: it is plain, and raises what the lane's open lock stands on: the lock's new pre-signature.
    Relock(Signature),
}

/// 40.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushDone {
    /// The escrow account.
    pub escrow: AccountKey,
    /// The epoch that is over.
    pub epoch: u32,
    /// Hash of the fee-bump transaction.
    pub hash: [u8; 32],
}

/// 48. The payee of a locked claim knows its secret: the payer replaces the claim by a plain one (`Claim`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// The escrow account.
    pub escrow: AccountKey,
    /// Names the payment at the payee.
    pub hop_id: Id,
    /// t of the claim's lock.
    pub secret: [u8; 32],
}

/// 42. Compared by both; the higher valid signature wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reestablish {
    /// The link.
    pub link: Id,
    /// The newest claim that the sender knows of the active escrow, none before the first.
    pub claim: Option<Claim>,
}

/// 43.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseAsk {
    /// The escrow account.
    pub escrow: AccountKey,
    /// Stroops that the payer signed on it in all: nothing is closed before so much was settled.
    pub signed: Stroops,
}

/// 44.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseSigned {
    /// The escrow account.
    pub escrow: AccountKey,
    /// The epoch whose number the close takes.
    pub epoch: u32,
    /// The payee's signature over the hash of the close.
    pub signature: Signature,
}

/// 46.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetPropose {
    /// The escrow that pays the sender.
    pub inward: AccountKey,
    /// Its epoch, which the sender has frozen.
    pub epoch: u32,
    /// Cumulative amount that counts in it, at most what was signed.
    pub amount: Stroops,
    /// The escrow of the other direction.
    pub outward: AccountKey,
    /// The number of the sender's account that the transaction takes.
    pub sequence: u64,
    /// Unix seconds after which it can no longer land.
    pub until: u64,
}

/// 47.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetAccept {
    /// Of the proposal.
    pub inward: AccountKey,
    /// The epoch of the outward escrow.
    pub epoch: u32,
    /// Cumulative amount that counts in it.
    pub amount: Stroops,
    /// Over the hash of N, as payer of the inward escrow.
    pub payer: Signature,
    /// The same as payee of the outward escrow.
    pub payee: Signature,
}
