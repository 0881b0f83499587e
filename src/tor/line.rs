//! The lines of tor's control protocol (control-spec 2.3), pure: bytes in, replies and events out. Whatever comes in,
//! memory is bounded and nothing panics; what is too long or malformed is left out and said.
use super::event::{Bootstrap, StreamEvent, StreamStatus};
use crate::redact::Sensitive;

/// Longest line kept; the rest of a longer one is cut off.
pub const LINE_MAX: usize = 64 * 1024;
/// Most bytes of one reply, data included.
pub const REPLY_MAX: usize = 16 * 1024 * 1024;

/// A whole reply: one final line, and what stood before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 250 = done, 650 = an event, 4xx and 5xx = refused.
    pub code: u16,
    /// The text of each line without its code, final line last; data joined to its line by a line feed.
    pub lines: Vec<String>,
    /// Something was cut off.
    pub cut: bool,
}

impl Reply {
    /// The value of `key` in a reply to GETINFO or GETCONF.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.lines
            .iter()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_start_matches('\n'))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mid,
    Data,
    End,
}

/// Puts bytes together to replies.
#[derive(Default)]
pub struct Assembler {
    line: Vec<u8>,
    reply: Reply,
    size: usize,
    in_data: bool,
}

impl Assembler {
    /// Takes bytes as they come; gives every reply that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Reply> {
        let mut done = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_MAX.saturating_sub(self.line.len());
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.reply.cut |= text.len() > room;
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                let line = std::mem::take(&mut self.line);
                done.extend(self.line_done(line.strip_suffix(b"\r").unwrap_or(&line)));
            }
        }
        done
    }

    fn line_done(&mut self, line: &[u8]) -> Option<Reply> {
        if self.in_data {
            if line == b"." {
                self.in_data = false;
            } else {
                // A line that begins with a dot has one more put before it.
                let text = if line.starts_with(b".") { &line[1..] } else { line };
                self.keep("\n", text, false);
            }
            return None;
        }
        let Some((code, kind, text)) = split(line) else {
            self.reply.cut = true;
            return None;
        };
        self.reply.code = code;
        self.keep("", text, true);
        self.in_data = kind == Kind::Data;
        if kind != Kind::End {
            return None;
        }
        self.size = 0;
        Some(std::mem::take(&mut self.reply))
    }

    fn keep(&mut self, before: &str, text: &[u8], new_line: bool) {
        // 32 bytes are what a line of its own costs beyond its text.
        self.size = self.size.saturating_add(before.len() + text.len() + if new_line { 32 } else { 0 });
        if self.size > REPLY_MAX {
            self.reply.cut = true;
            return;
        }
        let text = String::from_utf8_lossy(text);
        match self.reply.lines.last_mut() {
            Some(last) if !new_line => {
                last.push_str(before);
                last.push_str(&text);
            }
            _ => self.reply.lines.push(text.into_owned()),
        }
    }
}

/// `250-text` in its parts.
fn split(line: &[u8]) -> Option<(u16, Kind, &[u8])> {
    let digits = line.get(..3).filter(|code| code.iter().all(u8::is_ascii_digit))?;
    let code = digits.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let kind = match line.get(3)? {
        b'-' => Kind::Mid,
        b'+' => Kind::Data,
        b' ' => Kind::End,
        _ => return None,
    };
    Some((code, kind, &line[4..]))
}

/// Words of a line: `KEY=VALUE`, `KEY="quoted \"value\""` or a bare word.
fn words(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        let (value, tail) = match tail.strip_prefix('=') {
            None => (String::new(), tail),
            Some(tail) => match tail.strip_prefix('"') {
                Some(quoted) => unquote(quoted),
                None => {
                    let end = tail.find(' ').unwrap_or(tail.len());
                    (tail[..end].to_string(), &tail[end..])
                }
            },
        };
        found.push((key, value));
        rest = tail.trim_start_matches(' ');
    }
    found
}

/// The value up to the closing quote, C escapes undone, and what follows.
fn unquote(text: &str) -> (String, &str) {
    let mut value = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => {
                let octal =
                    bytes.get(at..at + 3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
                if let Some([a, b, c]) = octal {
                    value.push((a - b'0').wrapping_mul(64).wrapping_add((b - b'0') * 8 + (c - b'0')));
                    at += 3;
                } else if let Some(next) = bytes.get(at) {
                    at += 1;
                    value.push(match next {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        other => *other,
                    });
                }
            }
            other => value.push(*other),
        }
    }
    // A quote or a backslash is one byte, so this is at a boundary; were it not, the rest would be dropped.
    (String::from_utf8_lossy(&value).into_owned(), text.get(at..).unwrap_or_default())
}

/// `NOTICE BOOTSTRAP PROGRESS=45 TAG=… SUMMARY="…"`, with or without `STATUS_CLIENT` before it.
pub fn bootstrap(text: &str) -> Option<Bootstrap> {
    let (_, args) = text.split_once("BOOTSTRAP ")?;
    let words = words(args);
    let value = |key: &str| words.iter().find(|word| word.0 == key).map(|word| word.1.clone());
    let percent = value("PROGRESS")?.parse::<u8>().ok().filter(|percent| *percent <= 100)?;
    Some(Bootstrap { percent, tag: value("TAG").unwrap_or_default(), summary: value("SUMMARY").unwrap_or_default() })
}

/// `STREAM id status circ host:port …`; None for a status that says nothing about where it stands (flow control).
pub fn stream(text: &str) -> Option<StreamEvent> {
    let mut parts = text.strip_prefix("STREAM ")?.splitn(5, ' ');
    let id = parts.next()?.parse().ok()?;
    let status = match parts.next()? {
        "NEW" | "NEWRESOLVE" => StreamStatus::New,
        "SENTCONNECT" | "SENTRESOLVE" => StreamStatus::Sent,
        "REMAP" => StreamStatus::Remap,
        "SUCCEEDED" => StreamStatus::Succeeded,
        "FAILED" => StreamStatus::Failed,
        "CLOSED" => StreamStatus::Closed,
        "DETACHED" => StreamStatus::Detached,
        _ => return None,
    };
    let circ = Some(parts.next()?.parse::<u64>().ok()?).filter(|circ| *circ != 0);
    let target = Sensitive(parts.next()?.to_string());
    let words = words(parts.next().unwrap_or_default());
    let socks_username = words.into_iter().find(|word| word.0 == "SOCKS_USERNAME").map(|word| Sensitive(word.1));
    Some(StreamEvent { id, status, circ, target, socks_username })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<Reply> {
        Assembler::default().push(text.as_bytes())
    }

    #[test]
    fn a_reply_with_data_keeps_its_lines_and_loses_the_stuffed_dots() {
        let replies = all("250+info=\r\none\r\n..two\r\n.\r\n250 OK\r\n");
        assert_eq!(replies, vec![Reply { code: 250, lines: vec!["info=\none\n.two".into(), "OK".into()], cut: false }]);
        assert_eq!(replies[0].value("info"), Some("one\n.two"));
        assert_eq!(replies[0].value("other"), None);
    }

    #[test]
    fn events_between_replies_come_out_on_their_own() {
        let replies = all("650 STREAM 7 NEW 0 a:80\r\n250 OK\r\n");
        assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [650, 250]);
    }

    #[test]
    fn a_bootstrap_event_and_a_bootstrap_phase_read_the_same() {
        let words =
            "NOTICE BOOTSTRAP PROGRESS=45 TAG=requesting_descriptors SUMMARY=\"Asking for \\\"relay\\\" descriptors\"";
        let want = Bootstrap {
            percent: 45,
            tag: "requesting_descriptors".into(),
            summary: "Asking for \"relay\" descriptors".into(),
        };
        assert_eq!(bootstrap(words), Some(want.clone()));
        assert_eq!(bootstrap(&format!("STATUS_CLIENT {words}")), Some(want));
        assert_eq!(bootstrap("NOTICE BOOTSTRAP PROGRESS=450 TAG=x"), None);
        assert_eq!(bootstrap("NOTICE ENOUGH_DIR_INFO"), None);
    }

    #[test]
    fn a_stream_names_its_circuit_and_who_opened_it() {
        let line =
            "STREAM 12 SENTCONNECT 5 example.com:80 SOCKS_USERNAME=\"a \\\"b\\\" \\303\\244\" CLIENT_PROTOCOL=SOCKS5";
        let event = stream(line).expect("well formed");
        assert_eq!((event.id, event.status, event.circ), (12, StreamStatus::Sent, Some(5)));
        assert_eq!(event.target.0, "example.com:80");
        assert_eq!(event.socks_username.expect("given").0, "a \"b\" ä");
        assert_eq!(stream("STREAM 12 NEW 0 example.com:80").expect("well formed").circ, None);
        assert_eq!(stream("STREAM 12 XOFF_SENT 5 example.com:80"), None);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_reply_is_whole() {
        let mut assembler = Assembler::default();
        assert!(assembler.push(&vec![b'2'; 3 * LINE_MAX]).is_empty());
        assert!(assembler.line.len() <= LINE_MAX);
        assembler.push(b"\r\n");
        let replies = assembler.push(b"250 OK\r\n250 OK\r\n");
        assert!(replies[0].cut && !replies[1].cut);
    }

    #[test]
    fn a_reply_without_end_stays_within_its_limit() {
        let mut assembler = Assembler::default();
        let line = [b"250-".as_slice(), &vec![b'x'; 60_000], b"\r\n"].concat();
        for _ in 0..400 {
            assert!(assembler.push(&line).is_empty());
        }
        assert!(assembler.reply.lines.iter().map(String::len).sum::<usize>() <= REPLY_MAX);
        let reply = &assembler.push(b"250 OK\r\n")[0];
        assert!(reply.cut && reply.code == 250);
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(vec![
            "250-",
            "250+a=",
            "250 ",
            "650 STREAM 1 NEW 0 ",
            "650 STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=",
            ".",
            "..",
            "\"",
            "\\",
            "=",
            " ",
            "\r\n",
            "\n",
            "SOCKS_USERNAME=\"",
            "\\303",
        ]);
        prop::collection::vec(
            prop_oneof![known.prop_map(|text| text.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..8)],
            0..40,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn bad_input_never_crashes_and_cutting_it_anywhere_changes_nothing(bytes in line(), at in any::<prop::sample::Index>()) {
            let whole = Assembler::default().push(&bytes);
            let mut assembler = Assembler::default();
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            let mut parts = assembler.push(head);
            parts.extend(assembler.push(tail));
            prop_assert_eq!(&whole, &parts);
            for text in whole.iter().flat_map(|reply| &reply.lines) {
                let _ = (bootstrap(text), stream(text));
            }
        }

        #[test]
        fn quoting_survives_any_text(text in "\\PC{0,40}") {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("KEY=\"{quoted}\" NEXT=1");
            prop_assert_eq!(words(&line), vec![("KEY", text), ("NEXT", "1".to_string())]);
        }
    }
}
