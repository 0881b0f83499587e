//! Serde for byte strings as lower-case hex: short in the store, readable for a person.
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// `[u8; N]` as a string.
pub fn serialize<S: Serializer, const N: usize>(value: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(value))
}

/// The reverse of [`serialize`].
pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    parse(&String::deserialize(from)?)
}

fn parse<E: Error, const N: usize>(text: &str) -> Result<[u8; N], E> {
    let mut value = [0; N];
    hex::decode_to_slice(text, &mut value).map_err(E::custom)?;
    Ok(value)
}

/// `Option<[u8; N]>`.
pub mod option {
    use super::*;

    /// Nothing as null.
    pub fn serialize<S: Serializer, const N: usize>(value: &Option<[u8; N]>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_some(&hex::encode(value)),
            None => to.serialize_none(),
        }
    }

    /// The reverse of [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<Option<[u8; N]>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| parse(&text)).transpose()
    }
}

/// `Vec<u8>`.
pub mod bytes {
    use super::*;

    /// As a string.
    pub fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(value))
    }

    /// The reverse of [`serialize`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
