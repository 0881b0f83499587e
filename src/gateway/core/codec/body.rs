//! The fields of each message, in the order of the wire.
use super::super::message::*;
use super::super::seal::{SEALED_CLAIM_LEN, SEALED_TEMPLATE_LEN};
use super::DecodeError;
use super::fields::{Reader, Wire, Writer};

/// A struct is its fields, one after the other.
macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut Writer) {
                $(self.$field.put(out);)*
            }
            fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok($name { $($field: Wire::get(from)?),* })
            }
        }
    )*};
}

structs! {
    Hello { version, network, asset, nonce }
    Offer { version, payee, asset, kind, price, fee, credit_bytes, ahead_bytes, expires, session, mac_key, lock_secs, nonce }
    Create { hop_id, request, amount, payer, lock }
    Delivered { hop_id, paid, secret }
    LockOrder { offset, max_time }
    Reveal { escrow, hop_id, secret }
    Complete { hop_id }
    Refusal { subject, code, retry_ms }
    LinkHello { version, network, asset, link, payer, account, signer, deposit, period }
    LinkAccept { link, account, signer, link_key, link_tag }
    EscrowOffer { link, escrow, created, deposit, period }
    RefundSigned { escrow, signature }
    EscrowRef { escrow }
    FlushBegin { escrow, epoch, amount }
    Claim { escrow, epoch, cumulative, signature }
    FlushDone { escrow, epoch, hash }
    Reestablish { link, claim }
    CloseAsk { escrow, signed }
    CloseSigned { escrow, epoch, signature }
    NetPropose { inward, epoch, amount, outward, sequence, until }
    NetAccept { inward, epoch, amount, payer, payee }
    TemplateBody { hop_id, escrow, epoch, cumulative, amount }
    ClaimBody { hop_id, amount, claim, beside }
}

/// One kind byte and 20 bytes, those that the kind does not use are zero.
impl Wire for PayerRef {
    fn put(&self, out: &mut Writer) {
        let (kind, mut bytes) = (self.kind(), [0; 20]);
        match self {
            PayerRef::Previous => {}
            PayerRef::Link(tag) => bytes[..8].copy_from_slice(tag),
            PayerRef::Relay(relay) => bytes = *relay,
        }
        kind.put(out);
        out.bytes(&bytes);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = u8::get(from)?;
        let mut bytes = [0; 20];
        bytes.copy_from_slice(from.take(20)?);
        let mut tag = [0; 8];
        tag.copy_from_slice(&bytes[..8]);
        match kind {
            0 if bytes == [0; 20] => Ok(PayerRef::Previous),
            1 if bytes[8..] == [0; 12] => Ok(PayerRef::Link(tag)),
            2 => Ok(PayerRef::Relay(bytes)),
            _ => Err(from.value("payer")),
        }
    }
}

impl Wire for PaymentRequest {
    fn put(&self, out: &mut Writer) {
        put_unsigned(self, out);
        self.mac.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let request = PaymentRequest {
            id: Wire::get(from)?,
            session: Wire::get(from)?,
            kind: Wire::get(from)?,
            units_in: Wire::get(from)?,
            units_out: Wire::get(from)?,
            amount_due: Wire::get(from)?,
            amount_paid: Wire::get(from)?,
            offer_hash: Wire::get(from)?,
            issued: Wire::get(from)?,
            expires: Wire::get(from)?,
            state: Wire::get(from)?,
            mac: Wire::get(from)?,
        };
        if request.state > 2 { Err(from.value("service state")) } else { Ok(request) }
    }
}

/// All of a request that its MAC covers.
pub(crate) fn put_unsigned(request: &PaymentRequest, out: &mut Writer) {
    request.id.put(out);
    request.session.put(out);
    request.kind.put(out);
    request.units_in.put(out);
    request.units_out.put(out);
    request.amount_due.put(out);
    request.amount_paid.put(out);
    request.offer_hash.put(out);
    request.issued.put(out);
    request.expires.put(out);
    request.state.put(out);
}

fn put_carried(carried: &Carried, out: &mut Writer) {
    carried.link_tag.put(out);
    u16::try_from(carried.sealed.len()).unwrap_or(u16::MAX).put(out);
    out.bytes(&carried.sealed);
}

/// What is carried has one size per kind, so that its length tells a carrier nothing.
fn get_carried(from: &mut Reader<'_>, len: usize) -> Result<Carried, DecodeError> {
    let link_tag = Wire::get(from)?;
    if usize::from(u16::get(from)?) != len {
        return Err(from.value("sealed length"));
    }
    Ok(Carried { link_tag, sealed: from.take(len)?.to_vec() })
}

impl Wire for Template {
    fn put(&self, out: &mut Writer) {
        self.hop_id.put(out);
        self.fee.put(out);
        self.lock.put(out);
        put_carried(&self.template, out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (hop_id, fee, lock) = (Wire::get(from)?, Wire::get(from)?, Wire::get(from)?);
        Ok(Template { hop_id, fee, lock, template: get_carried(from, SEALED_TEMPLATE_LEN)? })
    }
}

impl Wire for Sign {
    fn put(&self, out: &mut Writer) {
        self.hop_id.put(out);
        self.amount_in.put(out);
        self.amount_out.put(out);
        put_carried(&self.claim, out);
        put_carried(&self.template, out);
        self.lock.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (hop_id, amount_in, amount_out) = (Wire::get(from)?, Wire::get(from)?, Wire::get(from)?);
        let claim = get_carried(from, SEALED_CLAIM_LEN)?;
        let template = get_carried(from, SEALED_TEMPLATE_LEN)?;
        Ok(Sign { hop_id, amount_in, amount_out, claim, template, lock: Wire::get(from)? })
    }
}

impl Wire for Signed {
    fn put(&self, out: &mut Writer) {
        self.hop_id.put(out);
        put_carried(&self.claim, out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Signed { hop_id: Wire::get(from)?, claim: get_carried(from, SEALED_CLAIM_LEN)? })
    }
}

impl Wire for Deliver {
    fn put(&self, out: &mut Writer) {
        self.hop_id.put(out);
        self.amount.put(out);
        match &self.proof {
            Proof::Plain(claim) => {
                0u8.put(out);
                put_carried(claim, out);
            }
            Proof::Locked(claim, offset) => {
                1u8.put(out);
                put_carried(claim, out);
                offset.put(out);
            }
            Proof::Secret(secret) => {
                2u8.put(out);
                secret.put(out);
            }
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (hop_id, amount) = (Wire::get(from)?, Wire::get(from)?);
        let proof = match u8::get(from)? {
            0 => Proof::Plain(get_carried(from, SEALED_CLAIM_LEN)?),
            1 => Proof::Locked(get_carried(from, SEALED_CLAIM_LEN)?, Wire::get(from)?),
            2 => Proof::Secret(Wire::get(from)?),
            _ => return Err(from.value("proof")),
        };
        Ok(Deliver { hop_id, amount, proof })
    }
}

/// One kind byte and 64 bytes, those that the kind does not use are zero.
impl Wire for Beside {
    fn put(&self, out: &mut Writer) {
        let mut bytes = [0; 64];
        let kind: u8 = match self {
            Beside::Nothing => 0,
            Beside::Lock(point, max_time) => {
                bytes[..32].copy_from_slice(point);
                bytes[32..40].copy_from_slice(&max_time.to_be_bytes());
                1
            }
            Beside::Relock(pre) => {
                bytes = *pre;
                2
            }
        };
        kind.put(out);
        bytes.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, bytes) = (u8::get(from)?, <[u8; 64]>::get(from)?);
        let (mut point, mut time) = ([0; 32], [0; 8]);
        point.copy_from_slice(&bytes[..32]);
        time.copy_from_slice(&bytes[32..40]);
        match kind {
            0 if bytes == [0; 64] => Ok(Beside::Nothing),
            1 if bytes[40..] == [0; 24] => Ok(Beside::Lock(point, u64::from_be_bytes(time))),
            2 => Ok(Beside::Relock(bytes)),
            _ => Err(from.value("lock")),
        }
    }
}

impl Wire for LockWish {
    fn put(&self, out: &mut Writer) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(LockWish::Plain),
            1 => Ok(LockWish::Onwards),
            2 => Ok(LockWish::Last),
            _ => Err(from.value("lock wish")),
        }
    }
}

/// Number and variant of every message.
macro_rules! messages {
    ($($kind:literal $variant:ident)*) => {
        impl Message {
            /// The message type on the wire.
            pub fn kind(&self) -> u8 {
                match self { $(Message::$variant(_) => $kind,)* }
            }
        }
        /// True when this version knows the type.
        pub(super) fn known(kind: u8) -> bool {
            matches!(kind, $($kind)|*)
        }
        pub(super) fn put(message: &Message, out: &mut Writer) {
            match message { $(Message::$variant(body) => body.put(out),)* }
        }
        pub(super) fn get(from: &mut Reader<'_>) -> Result<Message, DecodeError> {
            match from.kind() {
                $($kind => Wire::get(from).map(Message::$variant),)*
                kind => Err(DecodeError::UnknownType { kind }),
            }
        }
    };
}

messages! {
    1 Hello
    2 Offer
    3 PaymentRequest
    4 Create
    5 Template
    6 Sign
    7 Signed
    8 Deliver
    9 Delivered
    10 Complete
    11 Refusal
    32 LinkHello
    33 LinkAccept
    34 EscrowOffer
    35 RefundSigned
    36 EscrowReady
    37 EscrowOpen
    38 FlushBegin
    39 FlushAck
    40 FlushDone
    41 Claim
    42 Reestablish
    43 CloseAsk
    44 CloseSigned
    45 FlushAsk
    46 NetPropose
    47 NetAccept
    48 Reveal
}
