//! The messages under way on the circuits of a process: their state ends with the circuit.
use magicwave::gateway::core::message::{Complete, Message};
use magicwave::gateway::transport::tor_cell::Cells;
use magicwave::tor::event::{Counters, Role, TorEvent};

fn opened(circ: u64) -> TorEvent {
    let (token, channel, purpose) = (0, 1, 0);
    TorEvent::Circuit { circ, role: Role::Relay, token, channel, hops: vec![], prev_is_client: true, purpose }
}

fn closed(circ: u64) -> TorEvent {
    TorEvent::Closed { circ, role: Role::Relay, hop: 0, token: 0, reason: 0, own: Counters::default() }
}

fn word() -> Message {
    Message::Complete(Complete { hop_id: [1; 16] })
}

#[test]
fn an_answer_that_comes_after_its_circuit_finds_nothing_and_leaves_nothing() {
    let mut cells = Cells::default();
    assert!(cells.bodies(1, 0, &word()).is_empty(), "before the circuit");
    // More circuits than are kept at a time, each answered once more when it is gone.
    for circ in 1..70_000 {
        cells.event(0, opened(circ));
        assert_eq!(cells.bodies(circ, 0, &word()).len(), 1);
        cells.event(0, closed(circ));
        assert!(cells.bodies(circ, 0, &word()).is_empty());
        assert!(cells.event(0, cell(circ)).is_none());
    }
    cells.event(0, opened(70_000));
    assert_eq!(cells.bodies(70_000, 0, &word()).len(), 1, "there is room for the next circuit");
    assert!(cells.event(0, cell(70_000)).is_some());
}

#[test]
fn more_circuits_than_are_kept_at_a_time_are_not_spoken_on() {
    let mut cells = Cells::default();
    (1..=65_537).for_each(|circ| drop(cells.event(0, opened(circ))));
    assert_eq!(cells.bodies(65_536, 0, &word()).len(), 1);
    assert!(cells.bodies(65_537, 0, &word()).is_empty());
}

/// A relay's cell with the same word.
fn cell(circ: u64) -> TorEvent {
    let mut body = magicwave::tor::cell::Outbox::default()
        .bodies(&magicwave::gateway::core::codec::encode(&word()))
        .expect("a short message");
    let (own, peer) = (Counters::default(), Counters::default());
    TorEvent::Cell { circ, role: Role::Relay, hop: 0, body: body.remove(0), own, peer }
}
