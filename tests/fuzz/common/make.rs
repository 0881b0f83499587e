//! Any message, made from bytes of entropy: the same bytes make the same message.
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::seal::{SEALED_CLAIM_LEN, SEALED_TEMPLATE_LEN};
use magicwave::units::{Price, Stroops};

/// The types of all messages.
pub const KINDS: [u8; 28] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48];

/// Entropy; zeros when it is used up.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let n = N.min(self.0.len());
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        out
    }
    fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }
    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }
    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }
    fn amount(&mut self) -> Stroops {
        Stroops::new(self.u64() & (i64::MAX as u64)).expect("63 bits")
    }
    fn asset(&mut self) -> AssetId {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let len = usize::from(self.u8()) % 13;
        if len == 0 {
            return AssetId { code: [0; 12], issuer: [0; 32] };
        }
        let mut code = [0; 12];
        for letter in &mut code[..len] {
            *letter = LETTERS[usize::from(self.u8()) % LETTERS.len()];
        }
        AssetId { code, issuer: self.array() }
    }
    fn kind(&mut self) -> ServiceKind {
        [ServiceKind::Tor, ServiceKind::Ipfs, ServiceKind::Http][usize::from(self.u8()) % 3]
    }
    fn signature(&mut self) -> Signature {
        let mut out = [0; 64];
        out[..32].copy_from_slice(&self.array::<32>());
        out[32..].copy_from_slice(&self.array::<32>());
        out
    }
    fn carried(&mut self, len: usize) -> Carried {
        let seed = self.array::<32>();
        Carried { link_tag: self.array(), sealed: seed.iter().copied().cycle().take(len).collect() }
    }
    fn payer(&mut self) -> PayerRef {
        match self.u8() % 3 {
            0 => PayerRef::Previous,
            1 => PayerRef::Link(self.array()),
            _ => PayerRef::Relay(self.array()),
        }
    }
    /// A claim.
    pub fn claim(&mut self) -> Claim {
        Claim { escrow: self.array(), epoch: self.u32(), cumulative: self.amount(), signature: self.signature() }
    }
    /// The inside of a carried template.
    pub fn template_body(&mut self) -> TemplateBody {
        TemplateBody {
            hop_id: self.array(),
            escrow: self.array(),
            epoch: self.u32(),
            cumulative: self.amount(),
            amount: self.amount(),
        }
    }
    /// The inside of a carried claim.
    pub fn claim_body(&mut self) -> ClaimBody {
        ClaimBody { hop_id: self.array(), amount: self.amount(), claim: self.claim(), beside: self.beside() }
    }
    /// What stands beside a claim.
    fn beside(&mut self) -> Beside {
        match self.u8() % 3 {
            0 => Beside::Nothing,
            1 => Beside::Lock(self.array(), self.u64()),
            _ => Beside::Relock(self.signature()),
        }
    }
    /// There or not.
    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.u8() & 1 == 1 { Some(make(self)) } else { None }
    }
    fn proof(&mut self) -> Proof {
        match self.u8() % 3 {
            0 => Proof::Locked(self.carried(SEALED_CLAIM_LEN), self.array()),
            1 => Proof::Plain(self.carried(SEALED_CLAIM_LEN)),
            _ => Proof::Secret(self.array()),
        }
    }
    /// An offer.
    pub fn offer(&mut self) -> Offer {
        Offer {
            version: self.u8(),
            payee: self.array(),
            asset: self.asset(),
            kind: self.kind(),
            price: Price(self.amount().get()),
            fee: self.amount(),
            credit_bytes: self.u32(),
            ahead_bytes: self.u32(),
            expires: self.u64(),
            session: self.array(),
            mac_key: self.array(),
            lock_secs: u16::from_be_bytes(self.array()),
            nonce: self.array(),
        }
    }
    /// A payment request.
    pub fn request(&mut self) -> PaymentRequest {
        PaymentRequest {
            id: self.array(),
            session: self.array(),
            kind: self.kind(),
            units_in: self.u64(),
            units_out: self.u64(),
            amount_due: self.amount(),
            amount_paid: self.amount(),
            offer_hash: self.array(),
            issued: self.u64(),
            expires: self.u64(),
            state: self.u8() % 3,
            mac: self.array(),
        }
    }
    /// A message of the given type.
    pub fn message(&mut self, kind: u8) -> Message {
        match kind {
            1 => Message::Hello(Hello {
                version: self.u8(),
                network: self.array(),
                asset: self.asset(),
                nonce: self.array(),
            }),
            2 => Message::Offer(self.offer()),
            3 => Message::PaymentRequest(self.request()),
            4 => Message::Create(Create {
                hop_id: self.array(),
                request: self.array(),
                amount: self.amount(),
                payer: self.payer(),
                lock: [LockWish::Plain, LockWish::Onwards, LockWish::Last][usize::from(self.u8() % 3)],
            }),
            5 => Message::Template(Template {
                hop_id: self.array(),
                fee: self.amount(),
                lock: self.option(Self::array),
                template: self.carried(SEALED_TEMPLATE_LEN),
            }),
            6 => Message::Sign(Sign {
                hop_id: self.array(),
                amount_in: self.amount(),
                amount_out: self.amount(),
                claim: self.carried(SEALED_CLAIM_LEN),
                template: self.carried(SEALED_TEMPLATE_LEN),
                lock: self.option(|m| LockOrder { offset: m.array(), max_time: m.u64() }),
            }),
            7 => Message::Signed(Signed { hop_id: self.array(), claim: self.carried(SEALED_CLAIM_LEN) }),
            8 => Message::Deliver(Deliver { hop_id: self.array(), amount: self.amount(), proof: self.proof() }),
            9 => Message::Delivered(Delivered {
                hop_id: self.array(),
                paid: self.amount(),
                secret: self.option(Self::array),
            }),
            10 => Message::Complete(Complete { hop_id: self.array() }),
            11 => Message::Refusal(Refusal {
                subject: self.array(),
                code: RefusalCode(u16::from_be_bytes(self.array())),
                retry_ms: self.u32(),
            }),
            32 => Message::LinkHello(LinkHello {
                version: self.u8(),
                network: self.array(),
                asset: self.asset(),
                link: self.array(),
                payer: self.u8() & 1 == 1,
                account: self.array(),
                signer: self.array(),
                deposit: self.amount(),
                period: self.u32(),
            }),
            33 => Message::LinkAccept(LinkAccept {
                link: self.array(),
                account: self.array(),
                signer: self.array(),
                link_key: self.array(),
                link_tag: self.array(),
            }),
            34 => Message::EscrowOffer(EscrowOffer {
                link: self.array(),
                escrow: self.array(),
                created: self.u32(),
                deposit: self.amount(),
                period: self.u32(),
            }),
            35 => Message::RefundSigned(RefundSigned { escrow: self.array(), signature: self.signature() }),
            36 => Message::EscrowReady(EscrowRef { escrow: self.array() }),
            37 => Message::EscrowOpen(EscrowRef { escrow: self.array() }),
            38 => Message::FlushBegin(FlushBegin { escrow: self.array(), epoch: self.u32(), amount: self.amount() }),
            39 => Message::FlushAck(self.claim()),
            40 => Message::FlushDone(FlushDone { escrow: self.array(), epoch: self.u32(), hash: self.array() }),
            41 => Message::Claim(self.claim()),
            43 => Message::CloseAsk(CloseAsk { escrow: self.array(), signed: self.amount() }),
            44 => Message::CloseSigned(CloseSigned {
                escrow: self.array(),
                epoch: self.u32(),
                signature: self.signature(),
            }),
            45 => Message::FlushAsk(EscrowRef { escrow: self.array() }),
            46 => Message::NetPropose(NetPropose {
                inward: self.array(),
                epoch: self.u32(),
                amount: self.amount(),
                outward: self.array(),
                sequence: self.u64(),
                until: self.u64(),
            }),
            47 => Message::NetAccept(NetAccept {
                inward: self.array(),
                epoch: self.u32(),
                amount: self.amount(),
                payer: self.signature(),
                payee: self.signature(),
            }),
            48 => Message::Reveal(Reveal { escrow: self.array(), hop_id: self.array(), secret: self.array() }),
            _ => Message::Reestablish(Reestablish { link: self.array(), claim: self.option(Self::claim) }),
        }
    }
}
