//! A real mongod for the tests of the MongoDB store, in `target/mongod`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::run::run;

/// The path of a mongod: `MONGOD` if that is set, else the fetched one.
///
/// # Errors
/// When there is none and it cannot be fetched.
pub fn fetch(root: &Path) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MONGOD") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "MONGOD={} is no file", path.display());
        return Ok(path);
    }
    let folder = root.join("target/mongod");
    let mongod = folder.join("mongod");
    if !mongod.is_file() {
        run(Command::new("bash").arg(root.join("xtask/mongod.sh")).arg(&folder))?;
    }
    Ok(mongod)
}
