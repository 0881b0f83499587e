//! Where a body goes. A file appears under its name when it is whole; until then whatever has that name stays.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// Where the body goes.
pub enum Sink {
    /// Beside the place where it will be.
    File(Beside),
    /// A device or a pipe: nothing there to be kept.
    Device(File),
    Stdout,
    Nowhere,
}

/// A file that gets its name at the end, and is removed otherwise.
pub struct Beside {
    file: File,
    path: PathBuf,
    target: PathBuf,
    named: bool,
}

impl Sink {
    /// For `--output`.
    pub fn to_file(name: &Path) -> io::Result<Self> {
        // Through links, so that they stay.
        let target = fs::canonicalize(name).unwrap_or_else(|_| name.to_owned());
        let about = fs::metadata(&target);
        if let Ok(about) = &about
            && !about.is_file()
        {
            return OpenOptions::new().write(true).open(&target).map(Sink::Device);
        }
        let last = target.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy().into_owned();
        let short: String = last.chars().take(48).collect();
        let path = target.with_file_name(format!(".{short}.{}", hex::encode(rand::random::<[u8; 6]>())));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let sink = Beside { file, path, target, named: false };
        if let Ok(about) = about {
            sink.file.set_permissions(about.permissions())?;
        }
        Ok(Sink::File(sink))
    }

    /// One more piece.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Sink::File(beside) => beside.file.write_all(data),
            Sink::Device(file) => file.write_all(data),
            Sink::Stdout => io::stdout().write_all(data),
            Sink::Nowhere => Ok(()),
        }
    }

    /// From the beginning again; false when what went out cannot be taken back.
    pub fn restart(&mut self) -> io::Result<bool> {
        match self {
            Sink::File(beside) => beside.file.rewind().and_then(|()| beside.file.set_len(0)).map(|()| true),
            Sink::Device(_) | Sink::Stdout => Ok(false),
            Sink::Nowhere => Ok(true),
        }
    }

    /// All is there: durable, and under its name.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Sink::File(beside) => {
                beside.file.sync_all()?;
                fs::rename(&beside.path, &beside.target)?;
                beside.named = true;
                Ok(())
            }
            Sink::Device(file) => file.flush(),
            Sink::Stdout => io::stdout().flush(),
            Sink::Nowhere => Ok(()),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_by_a_whole_body_and_by_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("film");
        fs::write(&path, "precious").expect("written");
        let mut sink = Sink::to_file(&path).expect("opens");
        sink.write(b"half of").expect("writes");
        drop(sink);
        assert_eq!(fs::read(&path).expect("there"), b"precious");
        let mut sink = Sink::to_file(&path).expect("opens");
        sink.write(b"wrong").expect("writes");
        assert!(sink.restart().expect("restarts"));
        sink.write(b"new").expect("writes");
        sink.finish().expect("ends");
        drop(sink);
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing is left beside it");
        assert!(Sink::to_file(&dir.path().join("no/such")).is_err());
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let mut sink = Sink::to_file(Path::new("/dev/null")).expect("opens");
        sink.write(b"x").expect("writes");
        sink.finish().expect("ends");
        assert!(matches!(sink, Sink::Device(_)));
        assert!(!fs::metadata("/dev/null").expect("there").is_file());
    }
}
