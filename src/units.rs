//! Money and traffic as integers with checked arithmetic (invariant 6).
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of the payment asset in stroops (10^-7 units), never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stroops(u64);

/// Arithmetic on money that would leave 0..=i64::MAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount left the range of a Stellar amount (0 to 2^63-1 stroops)")]
pub struct AmountRange;

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountText {
    /// Not digits with at most one point between them.
    #[error("it is no plain decimal number")]
    Form,
    /// Finer than a stroop.
    #[error("it has more than 7 places after the point")]
    Places,
    /// More than a ledger can hold.
    #[error("it is more than 922337203685.4775807")]
    Range,
}

#[allow(clippy::should_implement_trait, reason = "the operators cannot fail, these can")]
impl Stroops {
    /// Nothing.
    pub const ZERO: Stroops = Stroops(0);
    /// The largest amount that a Stellar ledger knows.
    pub const MAX: Stroops = Stroops(i64::MAX as u64);

    /// Refuses what a Stellar amount cannot hold.
    pub const fn new(stroops: u64) -> Result<Self, AmountRange> {
        if stroops > i64::MAX as u64 { Err(AmountRange) } else { Ok(Stroops(stroops)) }
    }
    /// Reads what `Display` writes, exactly: digits, and if need be a point and 1 to 7 more. No sign, no exponent, no
    /// spaces or separators.
    pub fn from_decimal(text: &str) -> Result<Self, AmountText> {
        let (whole, places) = match text.split_once('.') {
            Some((_, "")) => return Err(AmountText::Form),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(places) {
            return Err(AmountText::Form);
        }
        let missing = 7u32.checked_sub(u32::try_from(places.len()).unwrap_or(u32::MAX)).ok_or(AmountText::Places)?;
        let number = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u64>() };
        let (whole, places) =
            (number(whole).map_err(|_| AmountText::Range)?, number(places).map_err(|_| AmountText::Range)?);
        let stroops = whole.checked_mul(10_000_000).and_then(|whole| whole.checked_add(places * 10u64.pow(missing)));
        stroops.and_then(|stroops| Self::new(stroops).ok()).ok_or(AmountText::Range)
    }
    /// The number of stroops.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// As the ledger wants it.
    pub const fn as_i64(self) -> i64 {
        self.0 as i64
    }
    /// self + other.
    pub fn add(self, other: Self) -> Result<Self, AmountRange> {
        self.0.checked_add(other.0).ok_or(AmountRange).and_then(Self::new)
    }
    /// self - other; an error when that is negative.
    pub fn sub(self, other: Self) -> Result<Self, AmountRange> {
        self.0.checked_sub(other.0).map(Stroops).ok_or(AmountRange)
    }
    /// self - other, 0 when that is negative.
    pub fn saturating_sub(self, other: Self) -> Self {
        Stroops(self.0.saturating_sub(other.0))
    }
    /// True for 0.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<i64> for Stroops {
    type Error = AmountRange;
    fn try_from(value: i64) -> Result<Self, AmountRange> {
        u64::try_from(value).map_err(|_| AmountRange).and_then(Self::new)
    }
}

impl fmt::Display for Stroops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:07}", self.0 / 10_000_000, self.0 % 10_000_000)
    }
}

/// Bytes of one relay cell on the wire (link protocol 4 and later, tor-spec 3.2).
pub const CELL_BYTES: u64 = 514;

/// A price in stroops per MiB (2^20 bytes on the wire).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub u64);

impl Price {
    /// What `cells` cost, rounded up to the stroop.
    pub fn of_cells(self, cells: u64) -> Result<Stroops, AmountRange> {
        let stroops = (u128::from(cells) * u128::from(CELL_BYTES) * u128::from(self.0)).div_ceil(1 << 20);
        u64::try_from(stroops).map_err(|_| AmountRange).and_then(Stroops::new)
    }
    /// How many whole cells `amount` pays for (all of them when the price is 0).
    pub fn cells_for(self, amount: Stroops) -> u64 {
        if self.0 == 0 {
            return u64::MAX;
        }
        let cells = (u128::from(amount.get()) << 20) / (u128::from(CELL_BYTES) * u128::from(self.0));
        u64::try_from(cells).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_beyond_the_ledger_are_refused() {
        assert!(Stroops::new(u64::MAX).is_err());
        assert!(Stroops::MAX.add(Stroops(1)).is_err());
        assert!(Stroops::ZERO.sub(Stroops(1)).is_err());
        assert_eq!(Stroops(12_345_678).to_string(), "1.2345678");
    }

    #[test]
    fn amounts_are_read_exactly_or_not_at_all() {
        for (text, stroops) in [
            ("0", 0),
            ("1", 10_000_000),
            ("007", 70_000_000),
            ("0.0000001", 1),
            ("12.5", 125_000_000),
            ("0.1", 1_000_000),
            ("922337203685.4775807", i64::MAX as u64),
        ] {
            assert_eq!(Stroops::from_decimal(text), Ok(Stroops(stroops)), "{text}");
        }
        let form =
            ["", ".", ".5", "1.", "-1", "+1", "1e3", "0x1", "1,5", "1_000", " 1", "1 ", "1.2.3", "١", "NaN", "1.+5"];
        for text in form {
            assert_eq!(Stroops::from_decimal(text), Err(AmountText::Form), "{text}");
        }
        assert_eq!(Stroops::from_decimal("1.00000000"), Err(AmountText::Places));
        for text in ["922337203685.4775808", "922337203686", "18446744073709551616", &"9".repeat(400)] {
            assert_eq!(Stroops::from_decimal(text), Err(AmountText::Range), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_read_as_it_was_written(stroops in 0..=i64::MAX as u64) {
            prop_assert_eq!(Stroops::from_decimal(&Stroops(stroops).to_string()), Ok(Stroops(stroops)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.]{0,24}|\\PC{0,24}") {
            if let Ok(amount) = Stroops::from_decimal(&text) {
                prop_assert!(amount <= Stroops::MAX);
            }
        }

        #[test]
        fn paying_the_price_of_cells_buys_at_least_these_cells(cells in 0u64..1 << 40, price in 1u64..1 << 20) {
            let price = Price(price);
            let amount = price.of_cells(cells).expect("in range");
            prop_assert!(price.cells_for(amount) >= cells);
        }
    }
}
