//! The answer 402: an offer and a payment request in a header of the form of x402 version 2.
use super::{ENDPOINT, session_header};
use crate::error::{Error, Result};
use crate::gateway::core::codec::{decode, encode};
use crate::gateway::core::message::{AccountKey, AssetId, Message, Offer, PaymentRequest, ServiceKind};
use crate::gateway::core::offer::offer_hash;
use crate::units::Stroops;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest header value that is looked at.
pub const HEADER_MAX: usize = 8192;
/// Entries of `accepts` that are looked at.
pub const ACCEPTS_MAX: usize = 16;

/// What a site asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// Its offer.
    pub offer: Offer,
    /// What is due.
    pub request: PaymentRequest,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "x402Version")]
    version: u32,
    accepts: Vec<Value>,
}

#[derive(Deserialize)]
struct Extra {
    offer: String,
    request: String,
}

fn bad(what: &str) -> Error {
    Error::never("MW-HTTP-1", format!("The site asks for payment in a form that is not understood: {what}."))
}

impl Required {
    /// Still to pay.
    pub fn open(&self) -> Stroops {
        self.request.amount_due.saturating_sub(self.request.amount_paid)
    }

    /// The offer, then the request, as base64 of their encoded messages.
    pub fn to_base64(&self) -> (String, String) {
        let offer = STANDARD.encode(encode(&Message::Offer(self.offer.clone())));
        (offer, STANDARD.encode(encode(&Message::PaymentRequest(self.request.clone()))))
    }

    /// From the two base64 texts. `MW-HTTP-1`: they are no offer and request of one http session.
    pub fn from_base64(offer: &str, request: &str) -> Result<Self> {
        let (offer, request) = match (message(offer)?, message(request)?) {
            (Message::Offer(offer), Message::PaymentRequest(request)) => (offer, request),
            _ => return Err(bad("other messages in place of offer and request")),
        };
        if offer.kind != ServiceKind::Http || request.kind != ServiceKind::Http {
            return Err(bad("an offer for another kind of service"));
        }
        if request.session != offer.session || request.offer_hash != offer_hash(&offer) {
            return Err(bad("a request that does not belong to the offer"));
        }
        Ok(Required { offer, request })
    }

    /// The header's value. `network` is the network id, `path` what was asked for.
    pub fn to_header(&self, network: &[u8; 8], path: &str) -> String {
        let (offer, request) = self.to_base64();
        // A path can be long and a header must not be.
        let path: String = path.chars().filter(char::is_ascii_graphic).take(1024).collect();
        let asked = json!({
            "x402Version": 2,
            "error": "Payment required",
            "resource": { "url": path, "description": "Metered by response bytes", "mimeType": "" },
            "accepts": [{
                "scheme": "magicwave",
                "network": format!("stellar:{}", hex::encode(network)),
                "amount": self.open().get().to_string(),
                "asset": asset_text(&self.offer.asset),
                "payTo": account_text(&self.offer.payee),
                "maxTimeoutSeconds": self.request.expires.saturating_sub(self.request.issued),
                "extra": {
                    "version": 1,
                    "offer": offer,
                    "request": request,
                    "session": session_header(&self.offer),
                    "endpoint": ENDPOINT,
                },
            }],
        });
        STANDARD.encode(asked.to_string())
    }

    /// Reads a header's value, whatever it is. `MW-HTTP-1`: no request of this protocol.
    pub fn from_header(value: &str) -> Result<Self> {
        if value.len() > HEADER_MAX {
            return Err(bad("a header that is too long"));
        }
        let json = STANDARD.decode(value.trim()).map_err(|_| bad("a header that is not base64"))?;
        let asked: Asked = serde_json::from_slice(&json).map_err(|_| bad("a header that is not the JSON of x402"))?;
        if asked.version != 2 {
            return Err(bad("another version of x402"));
        }
        let ours = |entry: &&Value| entry.get("scheme").and_then(Value::as_str) == Some("magicwave");
        let entry = asked.accepts.iter().take(ACCEPTS_MAX).find(ours).ok_or_else(|| bad("no scheme of ours"))?;
        let extra = entry.get("extra").cloned().unwrap_or_default();
        let extra: Extra = serde_json::from_value(extra).map_err(|_| bad("no offer and request"))?;
        Required::from_base64(&extra.offer, &extra.request)
    }

    /// The body of the answer, for people and scripts that do not know the header.
    pub fn to_body(&self) -> Value {
        json!({
            "code": "MW-HTTP-402",
            "error": "This resource is paid by the byte and nothing, or not enough, was paid yet.",
            "amount_due": self.open().get().to_string(),
            "price_per_mib": self.offer.price.0.to_string(),
            "asset": asset_text(&self.offer.asset),
            "pay_to": account_text(&self.offer.payee),
            "hint": "Use `magicwave fetch URL` or a browser with the MagicWave extension; the header PAYMENT-REQUIRED has what they need.",
        })
    }
}

fn message(text: &str) -> Result<Message> {
    let bytes = STANDARD.decode(text).map_err(|_| bad("a message that is not base64"))?;
    decode(&bytes).map_err(|error| bad(&error.to_string()))
}

fn account_text(key: &AccountKey) -> String {
    stellar_base::crypto::PublicKey::from_slice(key).map_or_else(|_| hex::encode(key), |key| key.account_id())
}

fn asset_text(asset: &AssetId) -> String {
    let code: String = asset.code.iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect();
    if code.is_empty() { "native".to_owned() } else { format!("{code}:{}", account_text(&asset.issuer)) }
}
