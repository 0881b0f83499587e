//! What a client carries between two link partners and can neither read nor change: XChaCha20-Poly1305 under the
//! link's key, fixed sizes.
//!
//! Additional data: the link tag, then a byte that says template (1) or claim (2), so that one never opens as the other.
use super::codec::{DecodeError, Reader, Wire, Writer};
use super::message::{Carried, ClaimBody, TemplateBody};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// Bytes of a link key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce; drawn at random for every sealing.
pub const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// Plaintext of a template: 68 bytes of fields, zeros up to this.
pub const TEMPLATE_LEN: usize = 72;
/// Plaintext of a claim: 197 bytes of fields, zeros up to this.
pub const CLAIM_LEN: usize = 200;
/// `Carried::sealed` of a template.
pub const SEALED_TEMPLATE_LEN: usize = NONCE_LEN + TEMPLATE_LEN + TAG_LEN;
/// `Carried::sealed` of a claim.
pub const SEALED_CLAIM_LEN: usize = NONCE_LEN + CLAIM_LEN + TAG_LEN;

const TEMPLATE: u8 = 1;
const CLAIM: u8 = 2;

/// Why something carried could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not the fixed size of its kind.
    #[error("a sealed body has {found} bytes instead of {wanted}")]
    Size {
        /// Bytes found.
        found: usize,
        /// Bytes of this kind.
        wanted: usize,
    },
    /// The link tag is another link's.
    #[error("a sealed body is for another link")]
    OtherLink,
    /// Wrong key, wrong kind, or changed on the way.
    #[error("a sealed body does not open under the link's key")]
    NotAuthentic,
    /// It opened, and what is inside is no body of this kind.
    #[error("a sealed body has no proper form inside: {0}")]
    Form(#[from] DecodeError),
    /// Bytes behind the fields that are not zero.
    #[error("a sealed body has padding that is not zero")]
    Padding,
}

impl SealError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            SealError::Size { .. } => "MW-SEAL-1",
            SealError::OtherLink => "MW-SEAL-2",
            SealError::NotAuthentic => "MW-SEAL-3",
            SealError::Form(_) => "MW-SEAL-4",
            SealError::Padding => "MW-SEAL-5",
        }
    }
}

impl From<SealError> for crate::error::Error {
    fn from(error: SealError) -> Self {
        crate::error::Error::never(error.code(), error.to_string())
    }
}

/// Seals a template. `nonce` must be random and used once.
pub fn seal_template(
    key: &[u8; KEY_LEN],
    link_tag: [u8; 8],
    nonce: [u8; NONCE_LEN],
    body: &TemplateBody,
) -> Result<Carried, SealError> {
    seal(key, link_tag, nonce, TEMPLATE, TEMPLATE_LEN, body)
}

/// Opens a template that was carried.
pub fn open_template(key: &[u8; KEY_LEN], link_tag: [u8; 8], carried: &Carried) -> Result<TemplateBody, SealError> {
    open(key, link_tag, TEMPLATE, TEMPLATE_LEN, carried)
}

/// Seals a claim. `nonce` must be random and used once.
pub fn seal_claim(
    key: &[u8; KEY_LEN],
    link_tag: [u8; 8],
    nonce: [u8; NONCE_LEN],
    body: &ClaimBody,
) -> Result<Carried, SealError> {
    seal(key, link_tag, nonce, CLAIM, CLAIM_LEN, body)
}

/// Opens a claim that was carried.
pub fn open_claim(key: &[u8; KEY_LEN], link_tag: [u8; 8], carried: &Carried) -> Result<ClaimBody, SealError> {
    open(key, link_tag, CLAIM, CLAIM_LEN, carried)
}

fn aad(link_tag: [u8; 8], kind: u8) -> [u8; 9] {
    let mut aad = [kind; 9];
    aad[..8].copy_from_slice(&link_tag);
    aad
}

fn seal<T: Wire>(
    key: &[u8; KEY_LEN],
    link_tag: [u8; 8],
    nonce: [u8; NONCE_LEN],
    kind: u8,
    len: usize,
    body: &T,
) -> Result<Carried, SealError> {
    let mut out = Writer::default();
    body.put(&mut out);
    let mut plain = out.into_bytes();
    if plain.len() > len {
        return Err(SealError::Size { found: plain.len(), wanted: len });
    }
    plain.resize(len, 0);
    let payload = Payload { msg: &plain, aad: &aad(link_tag, kind) };
    let ciphertext = XChaCha20Poly1305::new(&(*key).into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| SealError::NotAuthentic)?;
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(&ciphertext);
    Ok(Carried { link_tag, sealed })
}

fn open<T: Wire>(
    key: &[u8; KEY_LEN],
    link_tag: [u8; 8],
    kind: u8,
    len: usize,
    carried: &Carried,
) -> Result<T, SealError> {
    if carried.link_tag != link_tag {
        return Err(SealError::OtherLink);
    }
    let wanted = NONCE_LEN + len + TAG_LEN;
    let size = SealError::Size { found: carried.sealed.len(), wanted };
    if carried.sealed.len() != wanted {
        return Err(size);
    }
    let (nonce, ciphertext) = carried.sealed.split_first_chunk::<NONCE_LEN>().ok_or(size)?;
    let payload = Payload { msg: ciphertext, aad: &aad(link_tag, kind) };
    let plain = XChaCha20Poly1305::new(&(*key).into())
        .decrypt(&XNonce::from(*nonce), payload)
        .map_err(|_| SealError::NotAuthentic)?;
    let mut reader = Reader::new(0, &plain);
    let body = T::get(&mut reader)?;
    let padding = reader.take(reader.left())?;
    if padding.iter().all(|b| *b == 0) { Ok(body) } else { Err(SealError::Padding) }
}
