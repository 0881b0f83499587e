//! The answer 402, session headers, and the table of sessions.
use super::wire_make::make::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use magicwave::gateway::core::codec::{DecodeError, decode_list, encode};
use magicwave::gateway::core::message::*;
use magicwave::gateway::core::offer::offer_hash;
use magicwave::gateway::transport::http::required::{HEADER_MAX, Required};
use magicwave::gateway::transport::http::sessions::{FRESH_MS, Sessions};
use magicwave::gateway::transport::http::{parse_session_header, session_header};
use proptest::prelude::*;
use serde_json::{Value, json};

fn required() -> Required {
    let entropy = [0x41; 600];
    let offer = Offer { kind: ServiceKind::Http, ..Bytes(&entropy).offer() };
    let request = Bytes(&entropy).request();
    let request =
        PaymentRequest { kind: ServiceKind::Http, session: offer.session, offer_hash: offer_hash(&offer), ..request };
    Required { offer, request }
}

fn with(change: impl Fn(&mut Value)) -> Result<Required, &'static str> {
    let header = required().to_header(&[7; 8], "/film");
    let mut json: Value = serde_json::from_slice(&STANDARD.decode(header).expect("base64")).expect("json");
    change(&mut json);
    Required::from_header(&STANDARD.encode(json.to_string())).map_err(|error| error.code)
}

#[test]
fn what_a_site_asks_for_comes_back_from_its_header() {
    assert_eq!(with(|_| ()), Ok(required()));
    let long = "/x".repeat(100_000);
    let header = required().to_header(&[7; 8], &long);
    assert!(header.len() <= HEADER_MAX);
    assert_eq!(Required::from_header(&header), Ok(required()));
}

#[test]
fn the_header_has_the_form_of_x402() {
    let header = required().to_header(&[7; 8], "/film");
    let json: Value = serde_json::from_slice(&STANDARD.decode(header).expect("base64")).expect("json");
    assert_eq!(json["x402Version"], 2);
    let entry = &json["accepts"][0];
    assert_eq!((&entry["scheme"], &entry["network"]), (&json!("magicwave"), &json!("stellar:0707070707070707")));
    assert_eq!(entry["extra"]["session"], session_header(&required().offer));
    assert!(entry["amount"].as_str().is_some_and(|a| a.bytes().all(|b| b.is_ascii_digit())));
}

#[test]
fn a_scheme_of_ours_is_found_among_others() {
    let ours = with(|json| {
        let ours = json["accepts"][0].clone();
        json["accepts"] = json!([{ "scheme": "exact" }, 7, null, ours]);
    });
    assert_eq!(ours, Ok(required()));
    let buried = with(|json| {
        let ours = json["accepts"][0].clone();
        json["accepts"] = Value::Array([vec![json!({}); 16], vec![ours]].concat());
    });
    assert_eq!(buried, Err("MW-HTTP-1"));
}

#[test]
fn headers_of_another_form_are_refused() {
    let bad = Err("MW-HTTP-1");
    assert_eq!(with(|json| json["x402Version"] = json!(1)), bad);
    assert_eq!(with(|json| json["accepts"] = json!([])), bad);
    assert_eq!(with(|json| json["accepts"] = json!("magicwave")), bad);
    assert_eq!(with(|json| json["accepts"][0]["scheme"] = json!("exact")), bad);
    assert_eq!(with(|json| json["accepts"][0]["extra"] = Value::Null), bad);
    assert_eq!(with(|json| json["accepts"][0]["extra"]["offer"] = json!(17)), bad);
    assert_eq!(with(|json| json["accepts"][0]["extra"]["offer"] = json!("!!")), bad);
    assert_eq!(with(|json| json["accepts"][0]["extra"]["offer"] = json["accepts"][0]["extra"]["request"].clone()), bad);
    for header in ["", "not base64", "AAAA", "bnVsbA==", "W10="] {
        assert_eq!(Required::from_header(header).map_err(|e| e.code), bad);
    }
    let nested = STANDARD.encode("[".repeat(6000));
    assert_eq!(Required::from_header(&nested).map_err(|e| e.code), bad);
    assert_eq!(Required::from_header(&"A".repeat(HEADER_MAX + 1)).map_err(|e| e.code), bad);
}

#[test]
fn an_offer_and_a_request_that_do_not_belong_together_are_refused() {
    let with = |change: fn(&mut Required)| {
        let mut required = required();
        change(&mut required);
        let (offer, request) = required.to_base64();
        Required::from_base64(&offer, &request).map_err(|error| error.code)
    };
    assert_eq!(with(|_| ()), Ok(required()));
    assert_eq!(with(|r| r.offer.kind = ServiceKind::Tor), Err("MW-HTTP-1"));
    assert_eq!(with(|r| r.request.kind = ServiceKind::Tor), Err("MW-HTTP-1"));
    assert_eq!(with(|r| r.request.session[0] ^= 1), Err("MW-HTTP-1"));
    assert_eq!(with(|r| r.request.offer_hash[0] ^= 1), Err("MW-HTTP-1"));
}

#[test]
fn lists_of_messages_are_taken_whole_or_not_at_all() {
    let messages: Vec<_> = [9, 10, 11].iter().map(|kind| Bytes(&[5; 300]).message(*kind)).collect();
    let bytes: Vec<u8> = messages.iter().flat_map(encode).collect();
    assert_eq!(decode_list(&bytes, 3), Ok(messages.clone()));
    assert_eq!(decode_list(&[], 3), Ok(vec![]));
    assert!(matches!(decode_list(&bytes, 2), Err(DecodeError::TooLong { .. })));
    let first = encode(&messages[0]).len();
    let ends = [first, first + 20];
    for cut in 1..bytes.len() {
        let whole = ends.contains(&cut);
        assert_eq!(decode_list(&bytes[..cut], 3).is_ok(), whole, "{cut}");
    }
}

mod sessions {
    use super::*;

    fn offer(n: u64) -> Offer {
        let mut session = [0; 16];
        session[8..].copy_from_slice(&n.to_be_bytes());
        Offer { session, ..required().offer }
    }

    #[test]
    fn a_session_is_known_by_its_proof_alone() {
        let mut sessions = Sessions::new(8, 1000);
        assert!(sessions.open(&offer(1), 0).is_empty());
        let header = session_header(&offer(1));
        assert_eq!(sessions.verify(&header, 1), Some(offer(1).session));
        assert_eq!(sessions.verify(&header[..32], 1), None, "an id without its proof");
        assert_eq!(sessions.verify(&session_header(&offer(2)), 1), None);
        let forged = Offer { mac_key: [0; 32], ..offer(1) };
        assert_eq!(sessions.verify(&session_header(&forged), 1), None);
        assert_eq!(sessions.verify(&header.to_uppercase(), 1), None);
        for odd in ["", "zz", "é", &"0".repeat(63), &"0".repeat(65), &"0".repeat(100_000)] {
            assert_eq!(sessions.verify(odd, 1), None);
        }
        assert_eq!(parse_session_header(&header).map(|(id, _)| id), Some(offer(1).session));
    }

    #[test]
    fn a_flood_of_strangers_displaces_no_session_that_paid() {
        let mut sessions = Sessions::new(8, 1000);
        sessions.open(&offer(1), 0);
        assert!(sessions.mark_paid(&offer(1).session, 0).is_empty());
        let mut gone = vec![];
        for n in 2..1000 {
            gone.extend(sessions.open(&offer(n), 1));
            assert!(sessions.len() <= 8);
        }
        assert_eq!(gone, (2..996).map(|n| offer(n).session).collect::<Vec<_>>());
        assert!(sessions.verify(&session_header(&offer(1)), 2).is_some());
        assert!(sessions.verify(&session_header(&offer(999)), 2).is_some());
    }

    #[test]
    fn among_those_that_paid_the_idlest_gives_way() {
        let mut sessions = Sessions::new(4, 1000);
        for n in 1..=3 {
            sessions.open(&offer(n), n);
            let gone = sessions.mark_paid(&offer(n).session, n);
            assert_eq!(gone, if n == 3 { vec![offer(2).session] } else { vec![] });
            sessions.verify(&session_header(&offer(1)), 10 * n);
        }
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn sessions_are_forgotten_after_their_time() {
        let mut sessions = Sessions::new(8, 2 * FRESH_MS);
        sessions.open(&offer(1), 0);
        sessions.open(&offer(2), 0);
        sessions.mark_paid(&offer(2).session, 0);
        assert_eq!(sessions.verify(&session_header(&offer(1)), FRESH_MS), None);
        assert_eq!(sessions.expire(FRESH_MS), [offer(1).session]);
        assert_eq!(sessions.expire(2 * FRESH_MS), [offer(2).session]);
        assert!(sessions.is_empty());
    }
}

proptest! {
    #[test]
    fn any_header_is_what_was_sent_or_a_typed_error(text in "\\PC{0,200}", noise in any::<Vec<u8>>(), at in any::<usize>()) {
        prop_assert!(Required::from_header(&text).is_err());
        prop_assert!(Required::from_header(&STANDARD.encode(&noise)).is_err());
        let mut header = required().to_header(&[7; 8], "/film").into_bytes();
        let at = at % header.len();
        header[at] = noise.first().copied().unwrap_or(b'A') & 0x7f;
        if let Ok(found) = Required::from_header(&String::from_utf8(header).expect("ascii")) {
            prop_assert_eq!(found.request.offer_hash, offer_hash(&found.offer));
        }
    }
}
