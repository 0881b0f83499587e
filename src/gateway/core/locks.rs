//! Which payments a client puts under locks.
use serde::{Deserialize, Serialize};

/// Which payments go under locks. A locked one costs nothing when it fails, and a round trip more when it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locks {
    /// All.
    Always,
    /// Those that pay somebody more than a first increment (2 MiB at its price): what a plain one may cost.
    #[default]
    Large,
    /// None.
    Never,
}
