//! Step 3: our series of patches and our own C files, laid over the pristine tree.
use crate::config::Config;
use crate::pins::{sha256, walk};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where our C files live inside tor.
pub const PAYMENT: &str = "src/feature/payment";

/// What patches/tor holds, read once.
pub struct Series {
    /// (name, text) in the order of the file `series`.
    patches: Vec<(String, Vec<u8>)>,
    /// The ABI header and our C files: (name, content), flat.
    payment: Vec<(String, Vec<u8>)>,
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

impl Series {
    /// Reads `patches/tor/series`, what it lists, `patches/tor/payment/` and `ffi/magicwave_tor.h`.
    pub fn read(config: &Config) -> Result<Series, String> {
        let dir = config.root.join("patches/tor");
        let mut patches = Vec::new();
        let list = dir.join("series");
        if list.exists() {
            let text = String::from_utf8(read(&list)?).map_err(|_| format!("{} is no text", list.display()))?;
            for name in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                patches.push((name.to_string(), read(&dir.join(name))?));
            }
        }
        let mut payment = vec![("magicwave_tor.h".to_string(), read(&config.root.join("ffi/magicwave_tor.h"))?)];
        let ours = dir.join("payment");
        if ours.is_dir() {
            for file in walk(&ours)? {
                let name = file.to_str().ok_or("a file name in patches/tor/payment is no text")?;
                if is_ours(name) {
                    payment.push((name.to_string(), read(&ours.join(&file))?));
                }
            }
        }
        Ok(Series { patches, payment })
    }

    /// Number of patches and a short hash over them and our files, e.g. `9 patches, 1f0c2ab49d31`.
    pub fn describe(&self) -> String {
        format!(
            "{} patches, {}",
            self.patches.len(),
            &sha256((self.patch_hash() + &self.payment_hash()).as_bytes())[..12]
        )
    }

    /// Identity of the patches.
    pub fn patch_hash(&self) -> String {
        identity(&self.patches)
    }

    /// Identity of our own files.
    pub fn payment_hash(&self) -> String {
        identity(&self.payment)
    }

    /// Applies the patches to `tree`, in order, with zero fuzz: a hunk may have moved, but its context is the same to
    /// the letter.
    pub fn apply(&self, config: &Config, tree: &Path) -> Result<(), String> {
        for (name, _) in &self.patches {
            let file = config.root.join("patches/tor").join(name);
            let input = fs::File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let run = Command::new("patch")
                .args(["-p1", "-F0", "--batch", "--forward", "--no-backup-if-mismatch", "--reject-file=-"])
                .current_dir(tree)
                .stdin(Stdio::from(input))
                .output()
                .map_err(|error| format!("patch: {error}"))?;
            if !run.status.success() {
                let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
                return Err(format!("patches/tor/{name} does not apply without fuzz:\n{}", said.trim_end()));
            }
        }
        Ok(())
    }

    /// Brings our files into `tree`; touches only what differs. True when anything did.
    pub fn copy_payment(&self, tree: &Path) -> Result<bool, String> {
        let dir = tree.join(PAYMENT);
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let mut changed = false;
        for file in walk(&dir)? {
            let name = file.to_str().unwrap_or_default();
            if is_ours(name) && !self.payment.iter().any(|(kept, _)| kept == name) {
                fs::remove_file(dir.join(&file)).map_err(|error| format!("{name}: {error}"))?;
                changed = true;
            }
        }
        for (name, content) in &self.payment {
            let file = dir.join(name);
            if fs::read(&file).ok().as_ref() != Some(content) {
                if let Some(parent) = file.parent() {
                    fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
                }
                fs::write(&file, content).map_err(|error| format!("{}: {error}", file.display()))?;
                changed = true;
            }
        }
        Ok(changed)
    }
}

/// Sources, headers and the list of objects that a patched Makefile.in includes; not their tests, not make's output.
fn is_ours(name: &str) -> bool {
    !name.contains('/') && [".c", ".h", ".mk"].iter().any(|end| name.ends_with(end))
}

fn identity(files: &[(String, Vec<u8>)]) -> String {
    let text: String = files.iter().map(|(name, content)| format!("{name} {}\n", sha256(content))).collect();
    sha256(text.as_bytes())
}
