//! A PostgreSQL server for the tests of one process: the distribution's, in a directory of its own, on a unix socket
//! alone. It ends when this process ends, however it does: a shell holds it that waits for the end of a pipe of ours.
use magicwave::config::Database;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// $1 the binaries, $2 the directory, which goes with the server, $3 whether it writes through to the disk.
const KEEPER: &str = r#"
trap '' INT TERM HUP
cd "$2" || exit 1
if "$1/initdb" -D data -U magicwave -A trust -E UTF8 --locale C --no-sync >log 2>&1; then
    "$1/postgres" -D data -c listen_addresses= -c unix_socket_directories="$2" -c max_connections=90 \
        -c shared_buffers=16MB -c autovacuum=off -c fsync="$3" >>log 2>&1 &
    touch begun
    cat >/dev/null
    kill -QUIT $!
    wait $!
else
    touch failed
    cat >/dev/null
fi
cd / && rm -rf "$2"
"#;

/// For initdb and the first connection, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

struct Server {
    binaries: PathBuf,
    directory: PathBuf,
    /// Its standard input is the pipe.
    _keeper: Child,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::begin("on"))
}

/// A database on a server that would lose commits when the power goes.
pub fn careless() -> Database {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| Server::begin("off"));
    Database { url: server.url("postgres"), password_file: None }
}

impl Server {
    fn begin(fsync: &str) -> Self {
        let binaries = binaries();
        let directory = tempfile::Builder::new().prefix("mw-pg-").tempdir().expect("a directory").keep();
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).expect("mode");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(&binaries).arg(&directory).arg(fsync);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        if nix::unistd::geteuid().is_root() {
            let user = nix::unistd::User::from_name("postgres").expect("users").expect("the package's user postgres");
            chown(&directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
            keeper.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let server = Server { binaries, directory, _keeper: keeper.spawn().expect("a shell") };
        server.wait();
        server
    }

    fn url(&self, name: &str) -> String {
        format!("postgres:///{name}?host={}&user=magicwave", self.directory.display())
    }
}

/// The newest of the distribution's.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> =
        versions.map(|v| v.path().join("bin")).filter(|b| b.join("initdb").exists()).collect();
    found.sort_by_key(|path| version(path));
    found.pop().expect("PostgreSQL is not in /usr/lib/postgresql: install the package `postgresql` (scripts/test does)")
}

fn version(binaries: &Path) -> u32 {
    let name = binaries.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

impl Server {
    fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.directory.join("begun").exists() || !self.says_it_is_ready() {
            let log = || std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(!self.directory.join("failed").exists(), "initdb failed: {}", log());
            assert!(Instant::now() < until, "the server does not begin: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.arg("-h").arg(&self.directory).args(["-U", "magicwave"]).env("PGCONNECT_TIMEOUT", "10");
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    fn says_it_is_ready(&self) -> bool {
        self.tool("pg_isready").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|said| said.success())
    }
}

/// A new, empty database on the server of this process.
pub fn database() -> Database {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = server();
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let made = server.tool("createdb").arg(&name).output().expect("createdb runs");
    assert!(made.status.success(), "{made:?}");
    Database { url: server.url(&name), password_file: None }
}

/// Runs SQL as the owner of a database of [`database`]; what it prints, or what it says when it fails.
pub fn sql(database: &Database, text: &str) -> Result<String, String> {
    let name = database.route().expect("an address").name;
    let mut psql = server().tool("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &name, "-c", text]);
    let done = psql.output().expect("psql runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
}
