//! The answers of a hostile peer that knows the protocol: as far as somebody can go who holds no money.
use super::words::{PRICE, Words};
use magicwave::gateway::core::codec;
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::request::{Standing, build, mac};
use magicwave::gateway::core::seal::{SEALED_CLAIM_LEN, SEALED_TEMPLATE_LEN};
use magicwave::stellar::keys::SecretSeed;
use magicwave::tor::event::Counters;
use magicwave::units::{CELL_BYTES, Stroops};
use rand::{Rng, RngExt};

/// Messages heard that may be said back.
const MOST_HEARD: usize = 64;

impl Words {
    /// What goes as far as one can without money: `own` are our counters of the circuit, `now` unix seconds.
    pub fn answers(&mut self, message: &Message, own: Counters, now: u64) -> Vec<Message> {
        if self.heard.len() < MOST_HEARD {
            self.heard.push(message.clone());
        }
        let (most, claim) = (Stroops::MAX, self.carried(SEALED_CLAIM_LEN));
        let template = self.carried(SEALED_TEMPLATE_LEN);
        match message {
            Message::Hello(hello) => self.sell(hello, own, now),
            Message::Offer(_) => {
                let (hop_id, request) = (self.array(), [0; 16]);
                let payers = [PayerRef::Previous, PayerRef::Link(self.array()), PayerRef::Relay(self.array())];
                let create =
                    |payer| Message::Create(Create { hop_id, request, amount: most, payer, lock: LockWish::Plain });
                let sign =
                    Sign { hop_id, amount_in: most, amount_out: most, claim: claim.clone(), template, lock: None };
                let deliver = Message::Deliver(Deliver { hop_id, amount: most, proof: Proof::Plain(claim) });
                payers.map(create).into_iter().chain([Message::Sign(sign), deliver]).collect()
            }
            Message::Create(m) => vec![
                Message::Signed(Signed { hop_id: m.hop_id, claim }),
                Message::Delivered(Delivered { hop_id: m.hop_id, paid: most, secret: None }),
                Message::Template(Template {
                    hop_id: m.hop_id,
                    fee: Stroops::ZERO,
                    lock: Some(self.array()),
                    template,
                }),
            ],
            Message::Sign(m) => vec![Message::Signed(Signed { hop_id: m.hop_id, claim })],
            Message::Template(m) => {
                let (amount_in, amount_out, hop_id) = (most, most, m.hop_id);
                let sign = Sign {
                    hop_id,
                    amount_in,
                    amount_out,
                    claim: claim.clone(),
                    template: m.template.clone(),
                    lock: None,
                };
                vec![
                    Message::Sign(sign),
                    Message::Deliver(Deliver { hop_id, amount: most, proof: Proof::Plain(claim) }),
                ]
            }
            Message::Deliver(m) => {
                let secret = Some(self.array());
                vec![Message::Delivered(Delivered { hop_id: m.hop_id, paid: most, secret })]
            }
            Message::LinkHello(hello) if hello.payer => {
                let [account, signer] = [(); 2].map(|()| SecretSeed::from_bytes(&self.array()).public());
                let (link, link_key, link_tag) = (hello.link, self.array(), self.array());
                vec![Message::LinkAccept(LinkAccept { link, account, signer, link_key, link_tag })]
            }
            Message::LinkHello(_) => vec![Message::LinkHello(self.link_hello(true))],
            Message::LinkAccept(m) => {
                let (link, escrow, signature) = (m.link, self.array(), [7; 64]);
                let (epoch, cumulative) = (0, most);
                vec![
                    Message::EscrowOffer(EscrowOffer { link, escrow, created: 3, deposit: most, period: 600 }),
                    Message::EscrowReady(EscrowRef { escrow }),
                    Message::Claim(Claim { escrow, epoch, cumulative, signature }),
                    Message::FlushAck(Claim { escrow, epoch, cumulative, signature }),
                ]
            }
            Message::EscrowOffer(m) => {
                let (escrow, mut signature) = (m.escrow, [0; 64]);
                self.rng.fill_bytes(&mut signature);
                vec![
                    Message::EscrowOpen(EscrowRef { escrow }),
                    Message::RefundSigned(RefundSigned { escrow, signature }),
                    Message::FlushBegin(FlushBegin { escrow, epoch: 0, amount: most }),
                    Message::FlushDone(FlushDone { escrow, epoch: 0, hash: [1; 32] }),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// A dear offer that an honest client accepts. Then the most that its window permits, as a proper request; or
    /// requests for everything there is, for more cells than there were, and under a false MAC.
    fn sell(&mut self, hello: &Hello, own: Counters, now: u64) -> Vec<Message> {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let offer = Offer {
            version: codec::VERSION,
            payee: SecretSeed::from_bytes(&seed).public(),
            asset: hello.asset,
            kind: ServiceKind::Tor,
            price: PRICE,
            fee: Stroops::new(32).expect("an amount"),
            credit_bytes: 0,
            ahead_bytes: 1 << 30,
            expires: now + 3_600,
            lock_secs: 5,
            session: self.array(),
            mac_key: seed,
            nonce: hello.nonce,
        };
        let standing = |units: u64, amount_due| Standing {
            units_in: own.in_cells.saturating_add(units),
            units_out: own.out_cells,
            amount_due,
            amount_paid: Stroops::ZERO,
            state: 2,
        };
        let window = PRICE.of_cells(own.total() + (32 << 20) / CELL_BYTES).expect("in range");
        let mut ask = |standing| build(&offer, standing, self.array(), now, 60);
        let forged = PaymentRequest { mac: [9; 16], ..ask(standing(0, window)) };
        let absurd = ask(standing(0, Stroops::MAX));
        let mut above = ask(standing(1 << 40, window));
        above.units_out = u64::MAX;
        above.mac = mac(&offer.mac_key, &above);
        let dear = ask(standing(0, window));
        let requests = if self.rng.random() { vec![dear] } else { vec![absurd, above, forged] };
        [Message::Offer(offer)].into_iter().chain(requests.into_iter().map(Message::PaymentRequest)).collect()
    }
}
