//! What both databases are asked through: the same SQL, the same few types. `$1`, `$2`, … stand for values.
use crate::error::{Error, Result};
use crate::units::Stroops;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// A value that goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

/// A value that comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One statement that changes rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    pub sql: &'static str,
    pub values: Vec<Value<'a>>,
}

/// An open connection.
pub(super) trait Sql: std::fmt::Debug + Send {
    /// Runs all of it in one transaction, in order; durable when this returns.
    fn commit(&mut self, statements: &[Statement<'_>]) -> Result<()>;
    /// Hands each row that a question yields to `take`, until that fails.
    fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        take: &mut dyn FnMut(Line<'_>) -> Result<()>,
    ) -> Result<()>;
    /// From `true` to `false` all questions are answered as of one moment.
    fn still(&mut self, on: bool) -> Result<()>;
    /// Is there still somebody who would answer?
    fn alive(&mut self) -> Result<()>;
    /// What the database itself finds wrong with its files.
    fn faults(&mut self) -> Result<Vec<String>>;
}

/// One row of an answer.
pub(super) struct Line<'a>(pub &'a [Cell]);

impl Line<'_> {
    fn at(&self, column: usize) -> &Cell {
        self.0.get(column).unwrap_or(&Cell::Null)
    }
    pub fn int(&self, column: usize) -> Result<i64> {
        match self.at(column) {
            Cell::Int(number) => Ok(*number),
            _ => Err(broken("a row without a number")),
        }
    }
    /// A number that is not below 0.
    pub fn count(&self, column: usize) -> Result<u64> {
        u64::try_from(self.int(column)?).map_err(|_| broken("a number below zero"))
    }
    pub fn stroops(&self, column: usize) -> Result<Stroops> {
        Stroops::new(self.count(column)?).map_err(|_| broken("an impossible amount"))
    }
    pub fn text(&self, column: usize) -> Result<String> {
        self.maybe_text(column)?.ok_or_else(|| broken("a row without a text"))
    }
    pub fn maybe_text(&self, column: usize) -> Result<Option<String>> {
        match self.at(column) {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text.clone())),
            _ => Err(broken("something else where a text belongs")),
        }
    }
    pub fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N]> {
        self.maybe_bytes(column)?.ok_or_else(|| broken("a row without a name"))
    }
    pub fn maybe_bytes<const N: usize>(&self, column: usize) -> Result<Option<[u8; N]>> {
        match self.at(column) {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => bytes.as_slice().try_into().map(Some).map_err(|_| broken("a name of another length")),
            _ => Err(broken("something else where a name belongs")),
        }
    }
    /// A row that lies in the column as JSON.
    pub fn body<T: DeserializeOwned>(&self, column: usize) -> Result<T> {
        let Cell::Text(body) = self.at(column) else { return Err(broken("a row without a body")) };
        serde_json::from_str(body).map_err(|error| broken(&format!("a row that cannot be read ({error})")))
    }
}

/// All that a question yields, each row by `make`.
pub(super) fn collect<T>(
    db: &mut (impl Sql + ?Sized),
    sql: &'static str,
    values: &[Value<'_>],
    mut make: impl FnMut(Line<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    db.each(sql, values, &mut |line| {
        all.push(make(line)?);
        Ok(())
    })?;
    Ok(all)
}

/// The JSON bodies in the first column.
pub(super) fn bodies<T: DeserializeOwned>(
    db: &mut (impl Sql + ?Sized),
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<T>> {
    collect(db, sql, values, |line| line.body(0))
}

/// A number for a column. `MW-STORE-6`: beyond what databases hold.
pub(super) fn int(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::never("MW-STORE-6", "A number is beyond what the store holds."))
}

fn broken(what: &str) -> Error {
    Error::never("MW-STORE-6", format!("The store holds {what}; restore it from a backup."))
}
