//! Which paths cost money. A path is compared in the form in which a web server looks at it.
use super::message::RefusalCode;
use super::offer::price_permitted;
use crate::units::Price;

/// Paid prefixes, at most.
pub const PREFIXES_MAX: usize = 256;

/// A path that a web server could read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Decodes escapes once and drops empty segments; refuses dot segments, encoded separators, NUL and broken escapes,
/// which web servers read differently, so that no spelling of a paid path is free.
pub fn normalise(path: &str) -> Result<Vec<u8>, Ambiguous> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => match (bytes.next().and_then(digit), bytes.next().and_then(digit)) {
                (Some(high), Some(low)) if high << 4 | low != b'/' => high << 4 | low,
                _ => return Err(Ambiguous),
            },
            other => other,
        };
        if byte == 0 || byte == b'\\' {
            return Err(Ambiguous);
        }
        decoded.push(byte);
    }
    if decoded.first() != Some(&b'/') {
        return Err(Ambiguous);
    }
    let mut normal = Vec::with_capacity(decoded.len());
    for segment in decoded.split(|b| *b == b'/').filter(|s| !s.is_empty()) {
        // `..;x` is a dot segment to some servers.
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        if name == b"." || name == b".." {
            return Err(Ambiguous);
        }
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    Ok(normal)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The paid prefixes of a site.
#[derive(Clone, Debug, Default)]
pub struct Prices(Vec<(Vec<u8>, Price)>);

impl Prices {
    /// From (prefix, price per MiB) pairs. A prefix costs for itself and everything below it; the longest counts.
    pub fn new(prefixes: &[(String, Price)]) -> Result<Self, RefusalCode> {
        if prefixes.len() > PREFIXES_MAX {
            return Err(RefusalCode::MALFORMED);
        }
        let mut table = Vec::with_capacity(prefixes.len());
        for (prefix, price) in prefixes {
            if !price_permitted(*price) {
                return Err(RefusalCode::BAD_PRICE);
            }
            table.push((normalise(prefix).map_err(|_| RefusalCode::MALFORMED)?, *price));
        }
        table.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(Prices(table))
    }

    /// What a normalised path costs, none when it is free.
    pub fn of(&self, normal: &[u8]) -> Option<Price> {
        let below =
            |prefix: &[u8]| normal.strip_prefix(prefix).is_some_and(|r| r.is_empty() || r.first() == Some(&b'/'));
        self.0.iter().find(|(prefix, _)| below(prefix)).map(|(_, price)| *price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        let table = [("/paid", 4), ("/paid/more/", 16), ("/", 1)].map(|(p, n)| (p.to_owned(), Price(n)));
        Prices::new(&table[..2]).expect("permitted")
    }
    fn cost(path: &str) -> Result<Option<u64>, Ambiguous> {
        normalise(path).map(|normal| prices().of(&normal).map(|p| p.0))
    }

    #[test]
    fn a_prefix_costs_for_itself_and_what_is_below() {
        assert_eq!(cost("/paid"), Ok(Some(4)));
        assert_eq!(cost("/paid/"), Ok(Some(4)));
        assert_eq!(cost("/paid/x"), Ok(Some(4)));
        assert_eq!(cost("/paid/more"), Ok(Some(16)));
        assert_eq!(cost("/paid/more/x"), Ok(Some(16)));
        assert_eq!(cost("/paidx"), Ok(None));
        assert_eq!(cost("/"), Ok(None));
        let all = Prices::new(&[("/".to_owned(), Price(1))]).expect("permitted");
        assert_eq!(all.of(&normalise("/x/y").expect("plain")), Some(Price(1)));
        assert_eq!(all.of(&normalise("/").expect("plain")), Some(Price(1)));
    }

    #[test]
    fn no_other_spelling_of_a_paid_path_is_free() {
        for path in ["//paid/x", "/%70aid/x", "/%70%61%69%64", "/paid//more//x"] {
            assert!(cost(path).is_ok_and(|c| c.is_some()), "{path}");
        }
        for path in [
            "/free/../paid",
            "/./paid",
            "/free/%2e%2e/paid",
            "/free/%2E./paid",
            "/free%2fpaid",
            "/free/..%5cpaid",
            "/a\\b",
        ] {
            assert_eq!(cost(path), Err(Ambiguous), "{path}");
        }
        for path in ["", "*", "paid", "/%", "/%7", "/%zz", "/a%00b", "/a/..;x/paid"] {
            assert_eq!(cost(path), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn prices_outside_of_the_table_are_refused() {
        assert!(Prices::new(&[("/x".to_owned(), Price(3))]).is_err());
        assert!(Prices::new(&[("/x/..".to_owned(), Price(4))]).is_err());
        assert!(Prices::new(&vec![("/x".to_owned(), Price(4)); PREFIXES_MAX + 1]).is_err());
    }
}
