//! Paging: `cursor`, `limit`, `order`, `include_failed`.
use super::problem::Problem;
use crate::devnet::ledger::store::MAX_PAGE;
use serde::Deserialize;

/// Query parameters as they come.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    cursor: Option<String>,
    limit: Option<String>,
    order: Option<String>,
    include_failed: Option<String>,
}

/// Query parameters as they are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// After (or, descending, before) this token.
    pub cursor: Option<i64>,
    /// 1 to 200.
    pub limit: u32,
    /// Newest first.
    pub descending: bool,
    /// Failed transactions too.
    pub include_failed: bool,
}

impl Page {
    /// The cursor as it was given.
    pub fn cursor_text(&self) -> String {
        self.cursor.map_or_else(String::new, |c| c.to_string())
    }
}

impl PageQuery {
    /// Checks the parameters; `latest` is what `cursor=now` means.
    pub fn read(&self, latest: u32) -> Result<Page, Problem> {
        let cursor = match self.cursor.as_deref() {
            None | Some("") => None,
            Some("now") => Some((i64::from(latest) + 1) << 32),
            Some(text) => {
                let bad = || Problem::bad_request("cursor", "cursor must be a paging token");
                // Horizon's own form for operations is token-index; only the token counts here
                let token = text.split('-').next().unwrap_or_default();
                Some(token.parse::<i64>().ok().filter(|c| *c >= 0).ok_or_else(bad)?)
            }
        };
        let limit = match self.limit.as_deref() {
            None | Some("") => 10,
            Some(text) => {
                let bad = || Problem::bad_request("limit", format!("limit must be 1 to {MAX_PAGE}"));
                text.parse::<u32>().ok().filter(|l| (1..=MAX_PAGE).contains(l)).ok_or_else(bad)?
            }
        };
        let descending = match self.order.as_deref() {
            None | Some("" | "asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Problem::bad_request("order", "order must be asc or desc")),
        };
        let include_failed = match self.include_failed.as_deref() {
            None | Some("" | "false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::bad_request("include_failed", "include_failed must be true or false")),
        };
        Ok(Page { cursor, limit, descending, include_failed })
    }
}
