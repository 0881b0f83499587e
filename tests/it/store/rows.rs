//! Rows to write, and where to write them: the same tests run over both databases.
use crate::postgres;
use magicwave::config::Database;
use magicwave::gateway::chain::{HopRow, PayeeShare, PaymentRow, PaymentState};
use magicwave::gateway::link::{EscrowRow, EscrowState, LinkRow, Partner, Role};
use magicwave::gateway::port::{MoneyEvent, RequestOutcome, RequestRow, Row};
use magicwave::stellar::keys::{SecretSeed, account_id};
use magicwave::store::{FILE, Postgres, Reader, Sqlite, Store};
use magicwave::units::Stroops;
use std::path::Path;
use tempfile::TempDir;

pub const DAY: u64 = 86_400_000;
/// The wallet's account of the node.
pub const ME: [u8; 32] = [11; 32];

/// Where a store lies.
pub enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Place {
    pub fn sqlite() -> Self {
        Place::Sqlite(dir())
    }
    pub fn postgres() -> Self {
        Place::Postgres(postgres::database())
    }
    pub fn open(&self) -> Box<dyn Store + Send> {
        match self {
            Place::Sqlite(dir) => Box::new(Sqlite::open(dir.path()).expect("the store opens")),
            Place::Postgres(database) => Box::new(Postgres::open(database, &ME).expect("the store opens")),
        }
    }
    /// Of a store that was opened before.
    pub fn reader(&self) -> Reader {
        match self {
            Place::Sqlite(dir) => Reader::open(&dir.path().join(FILE)).expect("a reader"),
            Place::Postgres(database) => Reader::connect(database, None).expect("a reader"),
        }
    }
    /// The code of a second open while one is open.
    pub fn refused(&self) -> &'static str {
        match self {
            Place::Sqlite(dir) => Sqlite::open(dir.path()).expect_err("locked").code,
            Place::Postgres(database) => Postgres::open(database, &ME).expect_err("locked").code,
        }
    }
    /// From now on the database takes no row of a payment.
    pub fn refuse_payments(&self) {
        self.sql(match self {
            Place::Sqlite(_) => "CREATE TRIGGER no BEFORE INSERT ON payments BEGIN SELECT RAISE(ABORT, 'no'); END",
            Place::Postgres(_) => "ALTER TABLE payments ADD CHECK (total < 0)",
        })
        .expect("done");
    }
    /// So many payment requests at the times 1, 2, 3, … ms.
    pub fn fill_requests(&self, count: u32) {
        let bytes = if matches!(self, Place::Sqlite(_)) { "BLOB" } else { "BYTEA" };
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO requests (node, id, at, kind, who, due, outcome) \
             SELECT 1, CAST(CAST(i AS TEXT) AS {bytes}), i, 'tor', 'x', 1, 'refused' FROM n"
        );
        self.sql(&sql).expect("filled");
    }
    /// Runs SQL past the store.
    pub fn sql(&self, text: &str) -> Result<(), String> {
        match self {
            Place::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join(FILE)).expect("opened");
                db.execute_batch(text).map_err(|e| e.to_string())
            }
            Place::Postgres(database) => postgres::sql(database, text).map(drop),
        }
    }
}

/// One test for each database: `in_sqlite` and `in_postgresql` under the name of the function.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use super::super::rows::Place;
            #[test]
            fn in_sqlite() {
                super::$name(&Place::sqlite());
            }
            #[test]
            fn in_postgresql() {
                super::$name(&Place::postgres());
            }
        })*
    };
}
pub(super) use on_both;

/// A client's configuration with its books in a directory or a database.
pub fn config(dir: &Path, database: Option<&Database>) -> String {
    let issuer = account_id(&SecretSeed::from_bytes(&[7; 32]).public());
    let database = database.map(|database| format!("[database]\nurl = \"{}\"\n", database.url)).unwrap_or_default();
    format!(
        "role = \"client\"\nstate_dir = {dir:?}\napi_socket = \"/s/api.sock\"\n{database}\
         [wallet]\nseed_file = \"/s/seed\"\n[ledger]\nhorizon = \"https://horizon.example\"\npassphrase = \"tests\"\n\
         asset_code = \"MWT\"\nasset_issuer = \"{issuer}\"\n\
         [pay]\nahead_bytes = 65536\nmax_price = 1024\nmax_fee = 8\nday = 1000\nsite = 1000\n"
    )
}

pub fn amount(stroops: u64) -> Stroops {
    Stroops::new(stroops).expect("an amount")
}

pub fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

pub fn link(id: u8) -> LinkRow {
    LinkRow {
        id: [id; 16],
        role: Role::Payer,
        partner: Partner::Relay([id; 20]),
        dials: true,
        account: [1; 32],
        signer: [2; 32],
        key: [3; 32],
        tag: [id; 8],
        deposit: amount(1000),
        period: 600,
        since_ms: u64::from(id),
        dropped: false,
        closing: false,
        by_period: false,
        own: 0,
    }
}

pub fn lane(id: u8, total: u64, landed: u64) -> EscrowRow {
    let row = EscrowRow::new([id; 32], &link(id), u32::from(id), EscrowState::Open);
    EscrowRow { total: amount(total), landed: amount(landed), refund: Some([9; 64]), ..row }
}

pub fn event(what: &str, id: u8, stroops: u64) -> Row {
    let (link, hop) = (Some([id; 16]), Some([7; 16]));
    Row::Event(MoneyEvent { at: 5, what: what.into(), link, hop, amount: amount(stroops), fee: 3, tx: Some([id; 32]) })
}

pub fn payment(id: u8, at: u64, service: &str, total: u64) -> PaymentRow {
    let share = PayeeShare { account: [4; 32], name: "guard".into(), due: amount(total), fee: amount(0) };
    PaymentRow {
        id: [id; 16],
        at,
        state: PaymentState::Complete,
        service: service.into(),
        site: (service == "http").then(|| "example.org:80".into()),
        total: amount(total),
        lock: None,
        payees: vec![share],
        create_ms: 1,
        sign_ms: 2,
        deliver_ms: 3,
    }
}

pub fn request(id: u32, at: u64, outcome: RequestOutcome) -> RequestRow {
    let mut name = [0; 16];
    name[..4].copy_from_slice(&id.to_be_bytes());
    RequestRow {
        id: name,
        at,
        kind: "http".into(),
        who: "example.org".into(),
        site: Some("example.org:80".into()),
        due: amount(u64::from(id)),
        outcome,
        code: (outcome != RequestOutcome::Paid).then(|| "budget_site".into()),
    }
}

pub fn hop(id: u8) -> HopRow {
    HopRow {
        locked: false,
        hop_id: [id; 16],
        amount_in: amount(9),
        amount_out: amount(8),
        reply: vec![1, 2],
        at: u64::from(id),
        session: Some([id; 16]),
    }
}
