//! The store over both databases, and what is particular to each.
mod both;
mod history;
mod postgresql;
mod rows;
mod sqlite;
mod verbs;
