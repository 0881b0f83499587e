//! `magicwave export`: the books of a node line by line, also while it runs. Nothing is changed.
use super::books::Node;
use super::{csv, date};
use crate::error::{Error, Result};
use crate::stellar::keys::account_id;
use crate::store::{Field, Topic};
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of the verb.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to write out: oldest first; links as they are now
    #[arg(value_enum)]
    topic: What,
    #[command(flatten)]
    node: Node,
    /// How: one line per record under a head line, or one array of objects. Amounts are stroops as decimal strings
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Format,
    /// From this day or moment on (UTC)
    #[arg(long, value_name = "DATE", value_parser = date::parse)]
    since: Option<date::Date>,
    /// To the end of this day, or up to this moment (UTC)
    #[arg(long, value_name = "DATE", value_parser = date::parse)]
    until: Option<date::Date>,
    /// A new file, for its owner alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// What this client paid
    Payments,
    /// What was asked of this client, and why it refused
    Requests,
    /// Every event of money, with its transaction on the ledger
    Journal,
    /// Links with what went over each
    Links,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Csv,
    Json,
}

/// Writes it out; what went wrong is on standard error, and then there is no file.
pub fn run(args: &Args) -> ExitCode {
    match args.out.as_deref().map_or_else(|| to_stdout(args), |file| to_file(args, file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("magicwave export: {error}");
            ExitCode::FAILURE
        }
    }
}

fn to_stdout(args: &Args) -> Result<()> {
    let mut gone = false;
    let written = write(args, &mut io::stdout().lock(), &mut gone);
    // A reader that went away (`| head`) is no failure.
    if gone { Ok(()) } else { written }
}

fn to_file(args: &Args, path: &Path) -> Result<()> {
    let file: File =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| cannot_write(path, &e))?;
    let written =
        write(args, &mut &file, &mut false).and_then(|()| file.sync_all().map_err(|error| cannot_write(path, &error)));
    if written.is_err() {
        let _ = std::fs::remove_file(path); // ours, and not whole
    }
    written
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::never("MW-EXPORT-1", format!("{} cannot be written ({error}); name a new file.", path.display()))
}

fn write(args: &Args, out: &mut dyn Write, gone: &mut bool) -> Result<()> {
    let topic = match args.topic {
        What::Payments => Topic::Payments,
        What::Requests => Topic::Requests,
        What::Journal => Topic::Journal,
        What::Links => Topic::Links,
    };
    if topic == Topic::Links && (args.since.is_some() || args.until.is_some()) {
        return Err(Error::never("MW-EXPORT-2", "Links are written as they are now; leave out --since and --until."));
    }
    let (from, to) = (args.since.map_or(0, |date| date.begin_ms), args.until.map_or(u64::MAX, |date| date.end_ms));
    let reader = args.node.reader()?;
    let mut out = BufWriter::new(out);
    let mut failed = |error: io::Error| {
        *gone |= error.kind() == ErrorKind::BrokenPipe;
        Error::later("MW-EXPORT-1", format!("It cannot be written ({error}); make room, or name another file."))
    };
    let (columns, format, mut first) = (topic.columns(), args.format, true);
    out.write_all(head(columns, format).as_bytes()).map_err(&mut failed)?;
    reader.export(topic, from, to, &mut |fields| {
        let line = match format {
            Format::Csv => csv_line(fields),
            Format::Json => json_line(columns, fields, first),
        };
        first = false;
        out.write_all(line.as_bytes()).map_err(&mut failed)
    })?;
    if format == Format::Json {
        out.write_all(b"\n]\n").map_err(&mut failed)?;
    }
    out.flush().map_err(&mut failed)
}

fn head(columns: &[&str], format: Format) -> String {
    match format {
        Format::Csv => columns.join(",") + "\r\n",
        Format::Json => "[".into(),
    }
}

fn csv_line(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| csv::field(&plain(field).unwrap_or_default())).collect();
    fields.join(",") + "\r\n"
}

fn json_line(columns: &[&str], fields: &[Field], first: bool) -> String {
    let value = |field: &Field| match field {
        Field::Number(number) => Value::from(*number),
        other => plain(other).map_or(Value::Null, Value::from),
    };
    let record: Map<String, Value> =
        columns.iter().zip(fields).map(|(column, field)| ((*column).to_owned(), value(field))).collect();
    format!("{}\n{}", if first { "" } else { "," }, Value::Object(record))
}

/// A field as text; nothing for nothing.
fn plain(field: &Field) -> Option<String> {
    match field {
        Field::Nothing => None,
        Field::Time(ms) => Some(date::print(*ms)),
        Field::Number(number) | Field::Amount(number) => Some(number.to_string()),
        Field::Bytes(bytes) => Some(hex::encode(bytes)),
        Field::Account(key) => Some(account_id(key)),
        Field::Text(text) => Some(text.clone()),
    }
}
