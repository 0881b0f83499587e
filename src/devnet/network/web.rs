//! The web server of the network: nginx with a configuration of ours, on the loopback, serving generated files.
use super::state::{ServedFile, io};
use crate::error::Result;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// Name, length in MiB and seed of the files that are there to be downloaded.
const FILES: [(&str, u64, u64); 4] = [("1m.bin", 1, 1), ("8m.bin", 8, 8), ("20m.bin", 20, 20), ("64m.bin", 64, 64)];

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>devnet</title><h1>A page of the devnet</h1>\
<p><a href=20m.bin>20 MiB</a> <a href=64m.bin>64 MiB</a></p>\n";

/// Makes `dir`/www with its files.
pub fn write_files(dir: &Path) -> Result<Vec<ServedFile>> {
    let www = dir.join("www");
    let tmp = dir.join("tmp");
    fs::create_dir_all(&tmp).map_err(|e| io("make", &tmp, &e))?;
    fs::create_dir_all(&www).map_err(|e| io("make", &www, &e))?;
    let page = www.join("index.html");
    fs::write(&page, PAGE).map_err(|e| io("write", &page, &e))?;
    let mut files = vec![ServedFile {
        path: "/index.html".into(),
        bytes: PAGE.len() as u64,
        sha256: hex::encode(Sha256::digest(PAGE)),
    }];
    for (name, mib, seed) in FILES {
        let path = www.join(name);
        let sha256 = write_noise(&path, mib * MIB, seed).map_err(|e| io("write", &path, &e))?;
        files.push(ServedFile { path: format!("/{name}"), bytes: mib * MIB, sha256 });
    }
    Ok(files)
}

/// Bytes that do not compress and are the same on every machine: SplitMix64 (Steele, Lea, Flood 2014), little endian.
fn write_noise(path: &Path, bytes: u64, seed: u64) -> std::io::Result<String> {
    let mut out = BufWriter::new(File::create(path)?);
    let (mut hash, mut state) = (Sha256::new(), seed);
    let mut block = vec![0u8; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        let part = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        hash.update(&block[..part]);
        out.write_all(&block[..part])?;
        left -= part as u64;
    }
    out.flush()?;
    Ok(hex::encode(hash.finalize()))
}

/// nginx's configuration. One process without a master: nothing that could be left behind.
pub fn nginx_conf(dir: &Path, address: SocketAddr) -> String {
    let d = dir.display();
    format!(
        "daemon off;\nmaster_process off;\npid \"{d}/nginx.pid\";\nerror_log \"{d}/error.log\";\n\
         events {{ worker_connections 512; }}\n\
         http {{\n  access_log \"{d}/access.log\";\n  sendfile on;\n  default_type application/octet-stream;\n\
         \x20 types {{ text/html html; }}\n\
         \x20 client_body_temp_path \"{d}/tmp\";\n  proxy_temp_path \"{d}/tmp\";\n  fastcgi_temp_path \"{d}/tmp\";\n\
         \x20 uwsgi_temp_path \"{d}/tmp\";\n  scgi_temp_path \"{d}/tmp\";\n\
         \x20 server {{ listen {address}; root \"{d}/www\"; }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_the_same_on_every_machine() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("noise");
        let sum = write_noise(&path, MIB + 13, 20).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").len(), MIB + 13);
        assert_eq!(sum, hex::encode(Sha256::digest(fs::read(&path).expect("read"))));
        let again = write_noise(&path, MIB + 13, 20).expect("written");
        assert_eq!(sum, again);
        assert_ne!(sum, write_noise(&path, MIB + 13, 21).expect("written"));
    }
}
