//! What the fuzz targets check, shared with the fast tests that replay the corpus on stable.
pub mod adaptor;
pub mod make;
pub mod properties;
