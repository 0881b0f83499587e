//! A request to be paid as a link (SEP-7), for a QR code or another wallet. Pure.
use crate::gateway::core::message::AccountKey;
use crate::stellar::asset::Asset;
use crate::stellar::keys;
use crate::stellar::network::PUBLIC;
use crate::units::Stroops;
use std::fmt::Write;

/// `web+stellar:pay?destination=…`: to `account`, of `asset`, an amount when one is asked for, on the network of
/// `passphrase`.
pub fn pay(account: &AccountKey, asset: &Asset, amount: Option<Stroops>, passphrase: &str) -> String {
    let mut uri = format!("web+stellar:pay?destination={}", keys::account_id(account));
    let mut add = |name: &str, value: &str| {
        let _ = write!(uri, "&{name}={}", escaped(value));
    };
    if let Some(amount) = amount {
        add("amount", &amount.to_string());
    }
    if let Asset::Credit(credit) = asset {
        add("asset_code", credit.code());
        add("asset_issuer", &keys::account_id(credit.issuer()));
    }
    if passphrase != PUBLIC {
        add("network_passphrase", passphrase);
    }
    uri
}

/// Everything but the unreserved characters of RFC 3986 in percent form.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_what_is_not_the_default() {
        let me = keys::account_id(&[1; 32]);
        assert_eq!(pay(&[1; 32], &Asset::Native, None, PUBLIC), format!("web+stellar:pay?destination={me}"));
        let asset = Asset::credit("MWT", [2; 32]).expect("valid");
        let uri = pay(&[1; 32], &asset, Stroops::new(15_000_000).ok(), "A net ; 1&2");
        let issuer = keys::account_id(&[2; 32]);
        let expected =
            format!("&amount=1.5000000&asset_code=MWT&asset_issuer={issuer}&network_passphrase=A%20net%20%3B%201%262");
        assert_eq!(uri, format!("web+stellar:pay?destination={me}{expected}"));
    }
}
