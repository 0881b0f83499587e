//! The fuzz corpus, replayed on stable.
use super::wire_make::{adaptor, properties};
use std::path::Path;

fn replay(target: &str, property: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&dir).expect("the corpus is there") {
        property(&std::fs::read(entry.expect("an entry").path()).expect("readable"));
        files += 1;
    }
    assert!(files > 0, "the corpus of {target} is empty");
}

#[test]
fn the_corpus_of_the_codec_holds() {
    replay("codec", properties::codec);
}

#[test]
fn the_corpus_of_round_trips_holds() {
    replay("round_trip", properties::round_trip);
}

#[test]
fn the_corpus_of_reassembly_holds() {
    replay("reassembly", properties::reassembly);
}

#[test]
fn the_corpus_of_sealed_bodies_holds() {
    replay("sealed", properties::sealed);
}

#[test]
fn the_corpus_of_http_holds() {
    replay("http", properties::http);
}

#[test]
fn the_corpus_of_adaptor_signatures_holds() {
    replay("adaptor", adaptor::adaptor);
}
