//! Where the API listens: a unix socket of the owner's alone, and if wanted a port of the loopback.
use crate::error::{Error, Result};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use tokio::net::{TcpListener, UnixListener};

/// Binds the socket (0600) and writes a fresh token beside it. A socket that nobody answers at is replaced, anything
/// else is left alone. `MW-API-5`: it cannot be served there; `-6`: something else has this name; `-7`: a daemon
/// answers there.
pub fn bind(socket: &Path) -> Result<(UnixListener, String)> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let fail = |e: std::io::Error| {
        Error::never(
            "MW-API-5",
            format!("cannot serve the api at {}: {e}. Check the directory and its rights.", socket.display()),
        )
    };
    clear(socket)?;
    let token = hex::encode(rand::random::<[u8; 32]>());
    let path = socket.with_file_name("api.token");
    let fresh = socket.with_file_name("api.token.new");
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(fail)?;
    file.write_all(token.as_bytes()).map_err(fail)?;
    std::fs::rename(&fresh, &path).map_err(fail)?;
    let listener = UnixListener::bind(socket).map_err(fail)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok((listener, token))
}

/// Makes room for a socket: removes one that refuses connections, and nothing else.
fn clear(socket: &Path) -> Result<()> {
    let fail = |e: std::io::Error| {
        Error::never("MW-API-5", format!("cannot serve the api at {}: {e}. Check the directory.", socket.display()))
    };
    let about = match std::fs::symlink_metadata(socket) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        about => about.map_err(fail)?,
    };
    if !about.file_type().is_socket() {
        let text =
            format!("{} is there already and is no socket; it is left alone. Correct api_socket.", socket.display());
        return Err(Error::never("MW-API-6", text));
    }
    match std::os::unix::net::UnixStream::connect(socket) {
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => std::fs::remove_file(socket).map_err(fail),
        // Gone meanwhile.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail(e)),
        Ok(_) => {
            let text = format!(
                "a program answers at {} already. Stop it, or give this daemon an api_socket of its own.",
                socket.display()
            );
            Err(Error::later("MW-API-7", text))
        }
    }
}

/// Binds the port of `api_listen`. `MW-API-19`: it is taken, or may not be had.
pub async fn bind_tcp(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        let text = format!("api_listen = {address} is not on the loopback; other machines have no business here");
        return Err(Error::never("MW-API-19", text));
    }
    TcpListener::bind(address).await.map_err(|e| {
        let text = format!("cannot serve the api at {address}: {e}. Is another program there? Change api_listen.");
        Error::later("MW-API-19", text)
    })
}
