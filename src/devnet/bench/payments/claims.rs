//! Claims as such: how fast they are verified, how long they are.
use super::incomplete;
use crate::error::Result;
use crate::gateway::core::codec::{HEADER_LEN, encode};
use crate::gateway::core::message::{Claim, Message};
use crate::stellar::asset::Asset;
use crate::stellar::keys::SecretSeed;
use crate::stellar::network::NetworkId;
use crate::stellar::template::{EscrowTerms, sign_claim, verify_claim};
use crate::units::Stroops;
use std::time::Instant;

pub(super) const SETUP: &str = "one core; each claim transaction is rebuilt from the link's terms, hashed, and its \
                                signature checked strictly (verify_strict); no batch verification";
pub(super) const BYTES_SETUP: &str = "escrow 32, epoch 4, cumulative amount 8, signature 64, as encoded in a message, \
                                      without the message header of 4 bytes";

fn seed(byte: u8) -> SecretSeed {
    SecretSeed::from_bytes(&[byte; 32])
}

fn terms() -> Result<EscrowTerms> {
    Ok(EscrowTerms {
        network: NetworkId::of("a network to be measured on"),
        asset: Asset::credit("MWT", seed(1).public())?,
        escrow: seed(2).public(),
        payer_signer: seed(3).public(),
        payer_account: seed(4).public(),
        payee_signer: seed(5).public(),
        payee_account: seed(6).public(),
        created_ledger: 7,
        deposit: Stroops::MAX,
        period_secs: 604_800,
    })
}

fn claims(count: usize) -> Result<Vec<Claim>> {
    let (terms, mut claims) = (terms()?, Vec::with_capacity(count));
    for number in 1..=count as u64 {
        let cumulative = Stroops::new(number * 1000).map_err(|e| incomplete(format!("{e:?}")))?;
        let signature = sign_claim(&terms, 0, cumulative, &seed(3))?;
        claims.push(Claim { escrow: terms.escrow, epoch: 0, cumulative, signature });
    }
    Ok(claims)
}

/// Verifies `count` different claims.
pub(super) fn verified_per_second(count: usize) -> Result<f64> {
    let (terms, claims) = (terms()?, claims(count)?);
    let start = Instant::now();
    for claim in &claims {
        verify_claim(&terms, claim.epoch, claim.cumulative, &claim.signature)?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Bytes of a claim between link partners.
pub(super) fn bytes() -> Result<f64> {
    let claim = claims(1)?.pop().ok_or_else(|| incomplete("no claim"))?;
    Ok((encode(&Message::Claim(claim)).len() - HEADER_LEN) as f64)
}
