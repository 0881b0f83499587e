//! Fields: fixed-size, network byte order, exactly one encoding per value.
use super::super::message::{AssetId, RefusalCode, ServiceKind};
use super::DecodeError;
use crate::units::{Price, Stroops};

/// Collects fields.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Takes fields off a body; never reads beyond it.
pub(crate) struct Reader<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(kind: u8, rest: &'a [u8]) -> Self {
        Reader { kind, rest }
    }
    pub(crate) fn kind(&self) -> u8 {
        self.kind
    }
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated { kind: self.kind });
        };
        self.rest = rest;
        Ok(head)
    }
    pub(crate) fn value(&self, field: &'static str) -> DecodeError {
        DecodeError::Value { kind: self.kind, field }
    }
}

/// A value with one form on the wire.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Writer);
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Wire for $int {
            fn put(&self, out: &mut Writer) {
                out.bytes(&self.to_be_bytes());
            }
            fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                <[u8; size_of::<$int>()]>::get(from).map(<$int>::from_be_bytes)
            }
        }
    )*};
}
integers!(u8, u16, u32, u64);

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Writer) {
        out.bytes(self);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(from.take(N)?);
        Ok(bytes)
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Writer) {
        u8::from(*self).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.value("bool")),
        }
    }
}

impl Wire for Stroops {
    fn put(&self, out: &mut Writer) {
        self.get().put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Stroops::new(u64::get(from)?).map_err(|_| from.value("amount"))
    }
}

impl Wire for Price {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u64::get(from)? {
            stroops if stroops <= Stroops::MAX.get() => Ok(Price(stroops)),
            _ => Err(from.value("price")),
        }
    }
}

impl Wire for ServiceKind {
    fn put(&self, out: &mut Writer) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            1 => Ok(ServiceKind::Tor),
            2 => Ok(ServiceKind::Ipfs),
            3 => Ok(ServiceKind::Http),
            _ => Err(from.value("service kind")),
        }
    }
}

impl Wire for RefusalCode {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        u16::get(from).map(RefusalCode)
    }
}

impl Wire for AssetId {
    fn put(&self, out: &mut Writer) {
        self.code.put(out);
        self.issuer.put(out);
    }
    /// The ledger's own rule for a code: letters and digits, then NUL to the end. All zero is the native asset.
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let asset = AssetId { code: Wire::get(from)?, issuer: Wire::get(from)? };
        let len = asset.code.iter().position(|b| *b == 0).unwrap_or(asset.code.len());
        let (name, padding) = asset.code.split_at(len);
        let native = len == 0 && asset.issuer == [0; 32];
        let named = len > 0 && name.iter().all(u8::is_ascii_alphanumeric);
        if (native || named) && padding.iter().all(|b| *b == 0) { Ok(asset) } else { Err(from.value("asset")) }
    }
}

/// A byte that says whether there is one, then it.
impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }
}
