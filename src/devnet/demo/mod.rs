//! The main job, shown.
pub mod download;
