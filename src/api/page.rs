//! Listings are read in pages, newest first: each row has a cursor, and `before` names the last row of the page before.
use super::problem::Problem;

/// Rows of a page.
pub const MAX_LIMIT: u32 = 10_000;
/// When nothing is said.
const LIMIT: u32 = 100;
/// Longest name that is filtered by: a host of 253 bytes and a port.
const MAX_NAME: usize = 259;

/// How many rows are wanted.
pub(super) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted.unwrap_or(LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        other => Err(Problem::unfit(format!("limit = {other}: 1 to {MAX_LIMIT} rows"))),
    }
}

/// A name to filter by.
pub(super) fn name(key: &str, wanted: Option<String>) -> Result<Option<String>, Problem> {
    match wanted {
        Some(name) if name.is_empty() || name.len() > MAX_NAME => {
            Err(Problem::unfit(format!("{key}: 1 to {MAX_NAME} bytes")))
        }
        other => Ok(other),
    }
}
