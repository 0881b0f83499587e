//! Messages as bytes: a header of four bytes, then the fields in order, network byte order, one form per value.
//!
//! ```text
//! version(1) = 1 | type(1) | body length(2) | body
//! ```
//! Decoding is strict: what `decode` accepts, `encode` gives back byte for byte. `docs/wire.md` has every field.
pub(crate) mod body;
mod fields;

use super::message::{Message, Refusal, RefusalCode};
pub(crate) use fields::{Reader, Wire, Writer};

/// The version of every message here.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEADER_LEN: usize = 4;
/// The longest message of any version, header included.
pub const MESSAGE_MAX: usize = 2048;
/// The type number of a refusal, the same in every version: a refusal is never answered.
pub const REFUSAL_TYPE: u8 = 11;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than a header.
    #[error("a message of {len} bytes has no header")]
    NoHeader {
        /// Bytes found.
        len: usize,
    },
    /// More than `MESSAGE_MAX` bytes.
    #[error("a message of {len} bytes is too long")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// A version that is not spoken here.
    #[error("protocol version {version} is not spoken here")]
    UnknownVersion {
        /// As received.
        version: u8,
        /// As received.
        kind: u8,
    },
    /// A type that this version does not know.
    #[error("message type {kind} is not known here")]
    UnknownType {
        /// As received.
        kind: u8,
    },
    /// The header's length is not the number of bytes that follow.
    #[error("message type {kind} says {declared} bytes of body and has {found}")]
    Length {
        /// Message type.
        kind: u8,
        /// In the header.
        declared: usize,
        /// Behind the header.
        found: usize,
    },
    /// The body ends inside a field.
    #[error("message type {kind} ends inside a field")]
    Truncated {
        /// Message type.
        kind: u8,
    },
    /// Bytes behind the last field.
    #[error("message type {kind} has {extra} bytes behind its last field")]
    Trailing {
        /// Message type.
        kind: u8,
        /// How many.
        extra: usize,
    },
    /// A field with a value that is not permitted.
    #[error("message type {kind} has a value that is not permitted in a field of form {field}")]
    Value {
        /// Message type.
        kind: u8,
        /// The form of the field: `amount`, `bool`, `service kind`, …
        field: &'static str,
    },
}

impl DecodeError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            DecodeError::NoHeader { .. } => "MW-WIRE-1",
            DecodeError::TooLong { .. } => "MW-WIRE-2",
            DecodeError::UnknownVersion { .. } => "MW-WIRE-3",
            DecodeError::UnknownType { .. } => "MW-WIRE-4",
            DecodeError::Length { .. } => "MW-WIRE-5",
            DecodeError::Truncated { .. } => "MW-WIRE-6",
            DecodeError::Trailing { .. } => "MW-WIRE-7",
            DecodeError::Value { .. } => "MW-WIRE-8",
        }
    }

    /// What to answer: unknown and malformed messages are refused, never ignored; a refusal is never answered, so
    /// that two versions cannot refuse each other for ever. The subject is {version, type, 0…} as received.
    pub fn answer(&self) -> Option<Refusal> {
        let (version, kind, code) = match *self {
            DecodeError::NoHeader { .. } | DecodeError::TooLong { .. } => (0, 0, RefusalCode::MALFORMED),
            DecodeError::UnknownVersion { version, kind } => (version, kind, RefusalCode::BAD_VERSION),
            DecodeError::UnknownType { kind } => (VERSION, kind, RefusalCode::UNKNOWN_TYPE),
            DecodeError::Length { kind, .. }
            | DecodeError::Truncated { kind }
            | DecodeError::Trailing { kind, .. }
            | DecodeError::Value { kind, .. } => (VERSION, kind, RefusalCode::MALFORMED),
        };
        if kind == REFUSAL_TYPE {
            return None;
        }
        let mut subject = [0; 16];
        subject[0] = version;
        subject[1] = kind;
        Some(Refusal { subject, code, retry_ms: 0 })
    }
}

impl From<DecodeError> for crate::error::Error {
    fn from(error: DecodeError) -> Self {
        crate::error::Error::never(error.code(), error.to_string())
    }
}

/// A message as bytes, at most `MESSAGE_MAX`. A `Carried` that was not made by `seal` has a length that no decoder
/// accepts; it is written as it is.
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes(&[VERSION, message.kind(), 0, 0]);
    body::put(message, &mut out);
    let mut bytes = out.into_bytes();
    let len = u16::try_from(bytes.len() - HEADER_LEN).unwrap_or(u16::MAX).to_be_bytes();
    bytes[2..HEADER_LEN].copy_from_slice(&len);
    bytes
}

/// Bytes as a message; all of them or none.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    if bytes.len() > MESSAGE_MAX {
        return Err(DecodeError::TooLong { len: bytes.len() });
    }
    let Some((&[version, kind, high, low], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::NoHeader { len: bytes.len() });
    };
    if version != VERSION {
        return Err(DecodeError::UnknownVersion { version, kind });
    }
    let mut reader = Reader::new(kind, rest);
    let declared = usize::from(u16::from_be_bytes([high, low]));
    if !body::known(kind) {
        return Err(DecodeError::UnknownType { kind });
    }
    if declared != rest.len() {
        return Err(DecodeError::Length { kind, declared, found: rest.len() });
    }
    let message = body::get(&mut reader)?;
    match reader.left() {
        0 => Ok(message),
        extra => Err(DecodeError::Trailing { kind, extra }),
    }
}

/// At most `max` messages one behind the other, as an http answer holds them; all of them or none.
pub fn decode_list(mut bytes: &[u8], max: usize) -> Result<Vec<Message>, DecodeError> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        if messages.len() >= max {
            return Err(DecodeError::TooLong { len: bytes.len() });
        }
        let len = match bytes.first_chunk::<HEADER_LEN>() {
            Some(&[_, _, high, low]) => HEADER_LEN + usize::from(u16::from_be_bytes([high, low])),
            None => bytes.len(),
        };
        let (message, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        messages.push(decode(message)?);
        bytes = rest;
    }
    Ok(messages)
}

/// For what hands events and effects on between processes: the same bytes, as hex.
impl serde::Serialize for Message {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(encode(self)))
    }
}

impl<'de> serde::Deserialize<'de> for Message {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes =
            hex::decode(<String as serde::Deserialize>::deserialize(from)?).map_err(serde::de::Error::custom)?;
        decode(&bytes).map_err(serde::de::Error::custom)
    }
}
