//! Money as the API says it: decimal digits in a string, since a JSON number loses digits beyond 2^53 in most programs.
use crate::units::{AmountRange, Price, Stroops};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stroops (10^-7 units) as decimal digits, without a sign or a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]{1,20}$", example = "12500000")]
pub struct Amount(pub u64);

impl Amount {
    /// As money; an error above what a ledger can hold.
    pub fn stroops(self) -> Result<Stroops, AmountRange> {
        Stroops::new(self.0)
    }
}

impl From<Stroops> for Amount {
    fn from(amount: Stroops) -> Self {
        Amount(amount.get())
    }
}

impl From<Price> for Amount {
    fn from(price: Price) -> Self {
        Amount(price.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.map(Amount).ok_or_else(|| D::Error::custom("an amount is stroops: decimal digits in a string"))
    }
}
