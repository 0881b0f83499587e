//! Hashes, MACs and seals, computed a second time from docs/wire.md alone.
use super::wire_make::make::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use magicwave::gateway::core::codec::encode;
use magicwave::gateway::core::message::{Beside, Message};
use magicwave::gateway::core::offer::{network_id, offer_hash};
use magicwave::gateway::core::request::mac;
use magicwave::gateway::core::seal::{seal_claim, seal_template};
use magicwave::gateway::transport::http::session_header;
use sha2::{Digest, Sha256};

const ENTROPY: [u8; 600] = [0x41; 600];

fn hmac_16(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut hmac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
    hmac.update(data);
    hmac.finalize().into_bytes()[..16].to_vec()
}

#[test]
fn hashes_and_macs_cover_the_bytes_that_the_specification_names() {
    let offer = Bytes(&ENTROPY).offer();
    let offer_bytes = encode(&Message::Offer(offer.clone()));
    assert_eq!(offer_hash(&offer)[..], Sha256::digest(&offer_bytes)[..16]);
    let request = Bytes(&ENTROPY).request();
    let bytes = encode(&Message::PaymentRequest(request.clone()));
    assert_eq!(mac(&[7; 32], &request)[..], hmac_16(&[7; 32], &bytes[4..102]));
    let proof = hmac_16(&offer.mac_key, &[&b"magicwave http session v1"[..], &offer.session].concat());
    assert_eq!(session_header(&offer), hex::encode([&offer.session[..], &proof].concat()));
    let passphrase = "Test SDF Network ; September 2015";
    assert_eq!(network_id(passphrase)[..], hex::decode("cee0302d59844d32").expect("hex"));
}

/// As section 4 has it: fields filled up with zeros, additional data of link tag and kind.
fn sealed(fields: &[u8], len: usize, kind: u8) -> Vec<u8> {
    let mut plain = fields.to_vec();
    plain.resize(len, 0);
    let payload = Payload { msg: &plain, aad: &[3, 3, 3, 3, 3, 3, 3, 3, kind] };
    let ciphertext = XChaCha20Poly1305::new(&[7; 32].into()).encrypt(&XNonce::from([5; 24]), payload).expect("sealed");
    [&[5; 24][..], &ciphertext].concat()
}

#[test]
fn seals_are_those_that_the_specification_describes() {
    let claim = Bytes(&ENTROPY).claim_body();
    let inner = encode(&Message::Claim(claim.claim.clone()));
    let fields = [&claim.hop_id[..], &claim.amount.get().to_be_bytes(), &inner[4..]].concat();
    let beside = match claim.beside {
        Beside::Nothing => [&[0][..], &[0; 64]].concat(),
        Beside::Lock(point, time) => [&[1][..], &point, &time.to_be_bytes(), &[0; 24]].concat(),
        Beside::Relock(pre) => [&[2][..], &pre].concat(),
    };
    let fields = [fields, beside].concat();
    assert_eq!(fields.len(), 197);
    let found = seal_claim(&[7; 32], [3; 8], [5; 24], &claim).expect("it fits");
    assert_eq!(found.sealed, sealed(&fields, 200, 2));

    let template = Bytes(&ENTROPY).template_body();
    let mut fields = [&template.hop_id[..], &template.escrow].concat();
    fields.extend_from_slice(&template.epoch.to_be_bytes());
    fields.extend_from_slice(&template.cumulative.get().to_be_bytes());
    fields.extend_from_slice(&template.amount.get().to_be_bytes());
    assert_eq!(fields.len(), 68);
    let found = seal_template(&[7; 32], [3; 8], [5; 24], &template).expect("it fits");
    assert_eq!(found.sealed, sealed(&fields, 72, 1));
}
