//! What must hold for any input. Each function panics when it does not.
use super::make::{Bytes, KINDS};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use magicwave::gateway::core::codec::decode_list;
use magicwave::gateway::core::codec::{MESSAGE_MAX, decode, encode};
use magicwave::gateway::core::message::{Carried, Message};
use magicwave::gateway::core::seal;
use magicwave::gateway::transport::http::paths::normalise;
use magicwave::gateway::transport::http::required::Required;
use magicwave::tor::cell::{self, BODY_MAX, EXPIRY_MS, PENDING_BYTES, Reassembler};

/// Bytes that decode are the one encoding of what they decode to; bytes that do not are answered or are a refusal.
pub fn codec(data: &[u8]) {
    match decode(data) {
        Ok(message) => {
            assert_eq!(encode(&message), data, "two encodings of one message");
            assert_eq!(data[1], message.kind());
        }
        Err(error) => {
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
            let refusal = data.len() >= 2 && data.len() <= MESSAGE_MAX && data[1] == 11;
            match error.answer() {
                Some(answer) => {
                    let answer = Message::Refusal(answer);
                    assert_eq!(decode(&encode(&answer)), Ok(answer));
                }
                None => assert!(refusal, "{error:?} was left without an answer"),
            }
        }
    }
}

/// Every message comes back as it was, and no single flipped bit makes it another encoding of the same.
pub fn round_trip(data: &[u8]) {
    let (kind, entropy) = data.split_first().unwrap_or((&0, &[]));
    let message = Bytes(entropy).message(KINDS[usize::from(*kind) % KINDS.len()]);
    let bytes = encode(&message);
    assert!(bytes.len() <= MESSAGE_MAX);
    assert_eq!(decode(&bytes), Ok(message.clone()));
    for cut in 0..bytes.len() {
        assert!(decode(&bytes[..cut]).is_err(), "a prefix of {cut} bytes decodes");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(decode(&longer).is_err(), "a byte behind the end was taken");
    let bit = usize::from(*kind) * 131 % (bytes.len() * 8);
    let mut changed = bytes;
    changed[bit / 8] ^= 1 << (bit % 8);
    assert_ne!(decode(&changed), Ok(message), "bit {bit} says nothing");
}

/// Whatever cells arrive, in whatever order and time, memory stays bounded, only messages that were sent whole come
/// out, and afterwards an honest message of one cell still gets through.
///
/// Input: records of {time step, operation, length, bytes}.
pub fn reassembly(mut data: &[u8]) {
    let mut reassembler = Reassembler::default();
    let mut now = 0u64;
    let mut highest = 0u32;
    while let Some((&[step, operation, len], rest)) = data.split_first_chunk::<3>() {
        let take = (usize::from(len) * 2).min(rest.len());
        let (bytes, rest) = rest.split_at(take);
        data = rest;
        now += u64::from(step) * u64::from(step);
        let body = match operation % 3 {
            0 => bytes.to_vec(),
            1 => forged(bytes),
            _ => honest(bytes, operation),
        };
        if let Some(number) = body.get(2..6) {
            highest = highest.max(u32::from_be_bytes(number.try_into().expect("four bytes")));
        }
        if let Ok(Some(message)) = reassembler.push(now, &body) {
            assert!(!message.is_empty() && message.len() <= cell::MESSAGE_MAX);
        }
        assert!(reassembler.pending_bytes() <= PENDING_BYTES);
    }
    if let Some(number) = highest.checked_add(1) {
        let body = &cell::fragment(b"still here", number).expect("short")[0];
        assert_eq!(reassembler.push(now, body), Ok(Some(b"still here".to_vec())));
    }
    reassembler.expire(now + EXPIRY_MS);
    assert_eq!(reassembler.pending_bytes(), 0);
}

/// A body with a plausible header, every field of it chosen by the input.
fn forged(bytes: &[u8]) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0];
    body.extend_from_slice(bytes);
    body.truncate(BODY_MAX + 1);
    body
}

/// A fragment of a message as an honest sender cuts it.
fn honest(bytes: &[u8], operation: u8) -> Vec<u8> {
    let (number, length, index) = match bytes {
        [number, high, low, index, ..] => (*number, u16::from_be_bytes([*high, *low]), *index),
        _ => (operation, 1, 0),
    };
    let message = vec![operation; usize::from(length) % cell::MESSAGE_MAX + 1];
    let mut bodies = cell::fragment(&message, u32::from(number)).expect("in range");
    bodies.swap_remove(usize::from(index) % bodies.len())
}

/// Sealed bodies open under their key, tag and kind alone; nothing that comes in makes opening panic.
pub fn sealed(data: &[u8]) {
    let mut entropy = Bytes(data);
    let (key, tag, nonce) = ([7; 32], [3; 8], [5; 24]);
    let claim = entropy.claim_body();
    let template = entropy.template_body();
    let carried = seal::seal_claim(&key, tag, nonce, &claim).expect("it fits");
    assert_eq!(seal::open_claim(&key, tag, &carried), Ok(claim));
    assert!(seal::open_template(&key, tag, &carried).is_err());
    assert!(seal::open_claim(&[8; 32], tag, &carried).is_err());
    let other = Carried { link_tag: [4; 8], ..carried.clone() };
    assert!(seal::open_claim(&key, tag, &other).is_err() && seal::open_claim(&key, [4; 8], &other).is_err());
    let mut changed = carried;
    let place = data.len() % changed.sealed.len();
    changed.sealed[place] ^= 1;
    assert!(seal::open_claim(&key, tag, &changed).is_err());
    let carried = seal::seal_template(&key, tag, nonce, &template).expect("it fits");
    assert_eq!(seal::open_template(&key, tag, &carried), Ok(template));
    let garbage = Carried { link_tag: tag, sealed: data.to_vec() };
    assert!(seal::open_claim(&key, tag, &garbage).is_err() && seal::open_template(&key, tag, &garbage).is_err());
}

/// What a site or a client says over http is read or refused, never more: the 402 header, lists of messages, paths.
pub fn http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for header in [text.to_string(), STANDARD.encode(data)] {
        if let Ok(required) = Required::from_header(&header) {
            let again = required.to_header(&[0; 8], "/");
            assert_eq!(Required::from_header(&again), Ok(required));
        }
    }
    if let Ok(messages) = decode_list(data, 8) {
        assert!(messages.len() <= 8);
        assert_eq!(messages.iter().flat_map(encode).collect::<Vec<_>>(), data);
    }
    if let Ok(normal) = normalise(&text) {
        let segments = normal.split(|b| *b == b'/').skip(1).collect::<Vec<_>>();
        assert!(segments.iter().all(|s| !s.is_empty() && *s != b"." && *s != b".."));
        assert!(!normal.contains(&0) && !normal.contains(&b'\\'));
    }
}
