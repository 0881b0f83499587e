//! Errors with a stable code: what happened, why, what to do.
use std::fmt;

/// What a caller may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed later.
    Later,
    /// Never with the same input.
    Never,
}

/// An error that a person or a peer can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Stable, e.g. `MW-CELL-3`; never reused for another meaning.
    pub code: &'static str,
    /// What happened, why, and what to do, in one or two sentences.
    pub text: String,
    /// Whether trying again makes sense.
    pub retry: Retry,
}

impl Error {
    /// An error that the same input will meet again.
    pub fn never(code: &'static str, text: impl Into<String>) -> Self {
        Error { code, text: text.into(), retry: Retry::Never }
    }
    /// An error that may be gone later.
    pub fn later(code: &'static str, text: impl Into<String>) -> Self {
        Error { code, text: text.into(), retry: Retry::Later }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.text, self.code)
    }
}

impl std::error::Error for Error {}

/// Result with our error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
