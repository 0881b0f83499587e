//! Assets: the native one, or a code and its issuer.
use super::keys;
use crate::error::{Error, Result};
use crate::gateway::core::message::{AccountKey, AssetId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use stellar_base::xdr;

/// An asset that was checked: its code is 1 to 12 letters and digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Asset {
    /// The asset that fees are paid in. As an `AssetId` it is all zero, as text `native`.
    Native,
    /// Somebody's issue, as text `CODE:ISSUER`.
    Credit(Credit),
}

/// Code and issuer of a credit asset; only made from what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credit {
    code: [u8; 12],
    issuer: AccountKey,
}

impl Credit {
    /// 1 to 12 letters and digits.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code[..self.code_len()]).unwrap_or_default()
    }
    /// The issuing account.
    pub fn issuer(&self) -> &AccountKey {
        &self.issuer
    }
    fn code_len(&self) -> usize {
        self.code.iter().position(|byte| *byte == 0).unwrap_or(self.code.len())
    }
}

impl Asset {
    /// `code` of `issuer`. `MW-ASSET-1`: not 1 to 12 letters and digits.
    pub fn credit(code: &str, issuer: AccountKey) -> Result<Self> {
        if code.is_empty() || code.len() > 12 || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::never("MW-ASSET-1", "An asset code is 1 to 12 letters and digits; this one is not."));
        }
        let mut padded = [0; 12];
        padded[..code.len()].copy_from_slice(code.as_bytes());
        Ok(Asset::Credit(Credit { code: padded, issuer }))
    }
    /// As peers name it.
    pub fn id(&self) -> AssetId {
        match self {
            Asset::Native => AssetId { code: [0; 12], issuer: [0; 32] },
            Asset::Credit(credit) => AssetId { code: credit.code, issuer: credit.issuer },
        }
    }
    /// As a payment names it in XDR: codes up to 4 characters have a type of their own.
    pub fn to_xdr(&self) -> xdr::Asset {
        match self {
            Asset::Native => xdr::Asset::Native,
            Asset::Credit(credit) => {
                let issuer = account(&credit.issuer);
                let [a, b, c, d, ..] = credit.code;
                if credit.code_len() <= 4 {
                    let asset_code = xdr::AssetCode4([a, b, c, d]);
                    xdr::Asset::CreditAlphanum4(xdr::AlphaNum4 { asset_code, issuer })
                } else {
                    let asset_code = xdr::AssetCode12(credit.code);
                    xdr::Asset::CreditAlphanum12(xdr::AlphaNum12 { asset_code, issuer })
                }
            }
        }
    }
    /// As a trustline names it in XDR.
    pub fn to_xdr_line(&self) -> xdr::ChangeTrustAsset {
        match self.to_xdr() {
            xdr::Asset::Native => xdr::ChangeTrustAsset::Native,
            xdr::Asset::CreditAlphanum4(credit) => xdr::ChangeTrustAsset::CreditAlphanum4(credit),
            xdr::Asset::CreditAlphanum12(credit) => xdr::ChangeTrustAsset::CreditAlphanum12(credit),
        }
    }
}

/// An account in XDR.
pub(crate) fn account(key: &AccountKey) -> xdr::AccountId {
    xdr::AccountId(xdr::PublicKey::PublicKeyTypeEd25519(xdr::Uint256(*key)))
}

impl TryFrom<&AssetId> for Asset {
    type Error = Error;
    /// `MW-ASSET-1`: the code is not 1 to 12 letters and digits padded with NUL at its end.
    fn try_from(id: &AssetId) -> Result<Self> {
        if id.code == [0; 12] && id.issuer == [0; 32] {
            return Ok(Asset::Native);
        }
        let end = id.code.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Asset::credit(std::str::from_utf8(&id.code[..end]).unwrap_or_default(), id.issuer)
    }
}

impl FromStr for Asset {
    type Err = Error;
    /// Reads `native` or `CODE:ISSUER`. `MW-ASSET-2`: neither; `MW-ASSET-1`, `MW-KEY-1`: a wrong code or issuer.
    fn from_str(text: &str) -> Result<Self> {
        if text == "native" {
            return Ok(Asset::Native);
        }
        let (code, issuer) = text
            .split_once(':')
            .ok_or_else(|| Error::never("MW-ASSET-2", "An asset is written `native` or `CODE:ISSUER`."))?;
        Asset::credit(code, keys::parse_account_id(issuer)?)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asset::Native => f.write_str("native"),
            Asset::Credit(credit) => write!(f, "{}:{}", credit.code(), keys::account_id(&credit.issuer)),
        }
    }
}

impl TryFrom<String> for Asset {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Asset> for String {
    fn from(asset: Asset) -> String {
        asset.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_survives_each_of_its_forms() {
        for asset in [Asset::Native, credit("M"), credit("MWT1"), credit("MAGIC"), credit("ABCDEFGHIJKL")] {
            assert_eq!(asset.to_string().parse::<Asset>().expect("own text"), asset);
            assert_eq!(Asset::try_from(&asset.id()).expect("own id"), asset);
            let json = serde_json::to_string(&asset).expect("json");
            assert_eq!(serde_json::from_str::<Asset>(&json).expect("own json"), asset);
        }
    }

    #[test]
    fn the_xdr_type_follows_the_length_of_the_code() {
        assert!(matches!(credit("MWT1").to_xdr(), xdr::Asset::CreditAlphanum4(_)));
        assert!(matches!(credit("MAGIC").to_xdr(), xdr::Asset::CreditAlphanum12(_)));
        assert!(matches!(Asset::Native.to_xdr_line(), xdr::ChangeTrustAsset::Native));
    }

    #[test]
    fn codes_that_the_ledger_does_not_know_are_refused() {
        for code in ["", "ABCDEFGHIJKLM", "M-T", "MÜ", "M T"] {
            assert_eq!(Asset::credit(code, [3; 32]).expect_err("code").code, "MW-ASSET-1");
        }
        let mut id = credit("MWT").id();
        id.code[5] = b'X'; // a NUL in the middle
        assert_eq!(Asset::try_from(&id).expect_err("hole").code, "MW-ASSET-1");
        id.code = [0; 12];
        assert_eq!(Asset::try_from(&id).expect_err("no code").code, "MW-ASSET-1");
        assert_eq!("MWT".parse::<Asset>().expect_err("no issuer").code, "MW-ASSET-2");
        assert_eq!("MWT:G".parse::<Asset>().expect_err("bad issuer").code, "MW-KEY-1");
    }

    fn credit(code: &str) -> Asset {
        Asset::credit(code, [3; 32]).expect("valid")
    }
}
