//! Payment cells: messages cut into bodies that fit one relay cell, and put together again.
//!
//! Pure; one `Reassembler` per (circuit, hop) and direction. The stamp that the C side puts before each body (18
//! bytes, ffi/magicwave_tor.h) is not seen here. A body is:
//! ```text
//! version(1) = 1 | reserved(1) = 0 | message number(4) | message length(2) | index(1) | last(1) | length(2) | bytes
//! ```
use std::collections::BTreeMap;

/// Bytes of a cell body behind the stamp (`MW_BODY_MAX`).
pub const BODY_MAX: usize = 472;
/// Bytes before the fragment's own.
pub const FRAGMENT_HEADER: usize = 12;
/// Bytes of message in a full fragment.
pub const FRAGMENT_DATA: usize = BODY_MAX - FRAGMENT_HEADER;
/// The longest message.
pub const MESSAGE_MAX: usize = 2048;
/// Version of the fragment header.
pub const VERSION: u8 = 1;
/// Bytes that a reassembler reserves for messages in progress, at most.
pub const PENDING_BYTES: usize = 4096;
/// Messages in progress, at most.
pub const PENDING_MESSAGES: usize = 4;
/// Milliseconds after its first fragment at which an unfinished message is forgotten.
pub const EXPIRY_MS: u64 = 60_000;

/// Why a body or a message was not taken. None of these is a reason to close a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// Shorter than a header or longer than a cell.
    #[error("a payment cell body of {len} bytes")]
    Size {
        /// Bytes found.
        len: usize,
    },
    /// Another version of the fragment header.
    #[error("payment cells of version {version} are not spoken here")]
    Version {
        /// As received.
        version: u8,
    },
    /// The reserved byte is not 0.
    #[error("the reserved byte of a payment cell is set")]
    Reserved,
    /// An empty message or one above `MESSAGE_MAX`.
    #[error("a message of {len} bytes cannot be sent in payment cells")]
    MessageLength {
        /// Bytes declared.
        len: usize,
    },
    /// Index, last index or length do not follow from the message's length.
    #[error("a fragment does not fit the length of its message")]
    Layout,
    /// This fragment is there already.
    #[error("a fragment came twice")]
    Duplicate,
    /// Another length than the first fragment of this message said.
    #[error("the fragments of a message disagree about its length")]
    Conflict,
    /// A message number at or below one that was begun before.
    #[error("a message number came again or out of order")]
    Stale,
    /// Too many unfinished messages or bytes.
    #[error("too many unfinished messages on a circuit")]
    Full,
    /// All message numbers are used up.
    #[error("the message numbers of a circuit are used up")]
    Exhausted,
}

impl CellError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            CellError::Size { .. } => "MW-CELL-1",
            CellError::Version { .. } => "MW-CELL-2",
            CellError::Reserved => "MW-CELL-3",
            CellError::MessageLength { .. } => "MW-CELL-4",
            CellError::Layout => "MW-CELL-5",
            CellError::Duplicate => "MW-CELL-6",
            CellError::Conflict => "MW-CELL-7",
            CellError::Stale => "MW-CELL-8",
            CellError::Full => "MW-CELL-9",
            CellError::Exhausted => "MW-CELL-10",
        }
    }
}

impl From<CellError> for crate::error::Error {
    fn from(error: CellError) -> Self {
        crate::error::Error::never(error.code(), error.to_string())
    }
}

/// Cuts a message into bodies for `mw_send`, in the order in which they must be sent. `msg_no` rises with each
/// message of one (circuit, hop) and direction; `Outbox` counts it.
pub fn fragment(message: &[u8], msg_no: u32) -> Result<Vec<Vec<u8>>, CellError> {
    let bad = CellError::MessageLength { len: message.len() };
    let total = u16::try_from(message.len()).map_err(|_| bad)?;
    let last = last_index(message.len()).ok_or(bad)?;
    let mut bodies = Vec::with_capacity(usize::from(last) + 1);
    for (index, data) in (0..=last).zip(message.chunks(FRAGMENT_DATA)) {
        let len = u16::try_from(data.len()).map_err(|_| bad)?;
        let mut body = Vec::with_capacity(FRAGMENT_HEADER + data.len());
        body.extend_from_slice(&[VERSION, 0]);
        body.extend_from_slice(&msg_no.to_be_bytes());
        body.extend_from_slice(&total.to_be_bytes());
        body.extend_from_slice(&[index, last]);
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(data);
        bodies.push(body);
    }
    Ok(bodies)
}

/// Index of the last fragment of a message of `len` bytes, none when no message has this length.
fn last_index(len: usize) -> Option<u8> {
    if len == 0 || len > MESSAGE_MAX { None } else { u8::try_from((len - 1) / FRAGMENT_DATA).ok() }
}

/// Numbers the messages that go out to one (circuit, hop).
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    next: u32,
}

impl Outbox {
    /// The bodies of the next message.
    pub fn bodies(&mut self, message: &[u8]) -> Result<Vec<Vec<u8>>, CellError> {
        let following = self.next.checked_add(1).ok_or(CellError::Exhausted)?;
        let bodies = fragment(message, self.next)?;
        self.next = following;
        Ok(bodies)
    }
}

struct Header<'a> {
    msg_no: u32,
    total: usize,
    index: u8,
    last: u8,
    data: &'a [u8],
}

/// Everything that one body says by itself is checked here: the layout follows from the message's length alone.
fn parse(body: &[u8]) -> Result<Header<'_>, CellError> {
    if body.len() > BODY_MAX {
        return Err(CellError::Size { len: body.len() });
    }
    let Some((&[version, reserved, n0, n1, n2, n3, t0, t1, index, last, l0, l1], data)) =
        body.split_first_chunk::<FRAGMENT_HEADER>()
    else {
        return Err(CellError::Size { len: body.len() });
    };
    if version != VERSION {
        return Err(CellError::Version { version });
    }
    if reserved != 0 {
        return Err(CellError::Reserved);
    }
    let total = usize::from(u16::from_be_bytes([t0, t1]));
    let wanted_last = last_index(total).ok_or(CellError::MessageLength { len: total })?;
    let start = usize::from(index) * FRAGMENT_DATA;
    let wanted_len = total.saturating_sub(start).min(FRAGMENT_DATA);
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    if last != wanted_last || index > last || len != wanted_len || len != data.len() {
        return Err(CellError::Layout);
    }
    Ok(Header { msg_no: u32::from_be_bytes([n0, n1, n2, n3]), total, index, last, data })
}

#[derive(Debug)]
struct Pending {
    started_ms: u64,
    /// `total` bytes, filled in as fragments come.
    bytes: Vec<u8>,
    /// One bit per fragment; a message has at most `MESSAGE_MAX / FRAGMENT_DATA + 1` = 5.
    have: u8,
}

/// Puts the messages of one sender on one circuit together again, within fixed memory whatever arrives.
#[derive(Debug, Default)]
pub struct Reassembler {
    pending: BTreeMap<u32, Pending>,
    newest: Option<u32>,
}

impl Reassembler {
    /// Takes a body that arrived at `now_ms` (any clock that does not go back) and returns the message that it
    /// finished, if it did. Messages begin in the order of their numbers; their fragments may interleave.
    pub fn push(&mut self, now_ms: u64, body: &[u8]) -> Result<Option<Vec<u8>>, CellError> {
        self.expire(now_ms);
        let header = parse(body)?;
        if !self.pending.contains_key(&header.msg_no) {
            if self.newest.is_some_and(|newest| header.msg_no <= newest) {
                return Err(CellError::Stale);
            }
            if header.last == 0 {
                self.newest = Some(header.msg_no);
                return Ok(Some(header.data.to_vec()));
            }
            if self.pending.len() >= PENDING_MESSAGES || self.pending_bytes() + header.total > PENDING_BYTES {
                return Err(CellError::Full);
            }
            self.newest = Some(header.msg_no);
        }
        let pending = self.pending.entry(header.msg_no).or_insert_with(|| Pending {
            started_ms: now_ms,
            bytes: vec![0; header.total],
            have: 0,
        });
        if pending.bytes.len() != header.total {
            return Err(CellError::Conflict);
        }
        let bit = 1u8.checked_shl(u32::from(header.index)).ok_or(CellError::Layout)?;
        if pending.have & bit != 0 {
            return Err(CellError::Duplicate);
        }
        let start = usize::from(header.index) * FRAGMENT_DATA;
        let Some(place) = pending.bytes.get_mut(start..start + header.data.len()) else {
            return Err(CellError::Layout);
        };
        place.copy_from_slice(header.data);
        pending.have |= bit;
        if pending.have.count_ones() <= u32::from(header.last) {
            return Ok(None);
        }
        Ok(self.pending.remove(&header.msg_no).map(|done| done.bytes))
    }

    /// Forgets messages whose first fragment is older than `EXPIRY_MS`; returns how many.
    pub fn expire(&mut self, now_ms: u64) -> usize {
        let before = self.pending.len();
        self.pending.retain(|_, p| now_ms.saturating_sub(p.started_ms) < EXPIRY_MS);
        before - self.pending.len()
    }

    /// Bytes reserved now, at most `PENDING_BYTES`.
    pub fn pending_bytes(&self) -> usize {
        self.pending.values().map(|p| p.bytes.len()).sum()
    }
}
