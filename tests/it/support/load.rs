//! The load generator of `bench/`, as a program beside the node.

use super::Program;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The load generator, built if it is not there yet: it is a program of another package.
pub fn xload() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "xload"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "xload does not build");
    Path::new(env!("CARGO_BIN_EXE_mangrove")).with_file_name("xload")
}

/// Makes the accounts the load generator uses.
pub fn users(program: &Program, count: usize) {
    let accounts: String = (0..count).map(|n| format!("user{n}@localhost secret\n")).collect();
    program.say_with(&["account", "import"], &accounts).good();
}

/// A load while it lasts. Killed, by its number, when it is dropped.
pub struct Load(Child);

impl Load {
    pub fn start(xload: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(xload);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Whether it has not ended, for whatever reason.
    pub fn goes_on(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
