//! The program `mangrove`, run as its users run it.

use super::{CONFIG, PATIENCE, block_on};
use mangrove::Addresses;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// A place where the program can be run: a directory with a configuration and data.
pub struct Program {
    dir: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Its output, when it succeeded.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// What it said went wrong.
    #[track_caller]
    pub fn bad(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl Program {
    /// With these options besides the usual ones.
    pub fn new(options: &str) -> Self {
        Self::of(&format!("{CONFIG}{options}"))
    }

    /// With this configuration.
    pub fn of(config: &str) -> Self {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("mangrove.toml"), config).unwrap();
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A command that is to be run there.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mangrove"));
        command.current_dir(self.path()).args(args).env("MANGROVE_CONFIG", "mangrove.toml");
        command
    }

    /// Runs a command to its end.
    pub fn say(&self, args: &[&str]) -> Said {
        self.say_with(args, "")
    }

    /// The same with something on standard input.
    pub fn say_with(&self, args: &[&str], input: &str) -> Said {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A command's answer in JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.say(&[args, &["--json"]].concat()).good();
        assert_eq!(out.lines().count(), 1, "one document on one line");
        serde_json::from_str(&out).unwrap()
    }

    /// What a node says on standard output from its start to its end, which is at once.
    pub fn first_line(&self) -> Vec<String> {
        let child = self
            .command(&["run"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut child = child;
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut lines = String::new();
        out.read_line(&mut lines).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        out.read_to_string(&mut lines).unwrap();
        assert!(child.wait().unwrap().success());
        lines.lines().map(str::to_owned).collect()
    }

    /// Starts a node and waits until it is ready.
    pub fn run(&self) -> Running {
        Self::start(self.command(&["run", "--json"]))
    }

    /// The same where so many files may be open.
    pub fn run_with_files(&self, limit: usize) -> Running {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" run --json");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_mangrove")]);
        command.current_dir(self.path()).env("MANGROVE_CONFIG", "mangrove.toml");
        Self::start(command)
    }

    /// The same with its log in the file `log`, added to what is there.
    pub fn run_to_log(&self) -> Running {
        let mut command = Command::new("sh");
        let script = "exec \"$0\" run --json 2>>log";
        command.args(["-c", script, env!("CARGO_BIN_EXE_mangrove")]);
        command.current_dir(self.path()).env("MANGROVE_CONFIG", "mangrove.toml");
        Self::start(command)
    }

    /// The same in a network namespace.
    pub fn run_in(&self, space: &str) -> Running {
        let mut command = Command::new("sh");
        let script = "exec ip netns exec \"$1\" \"$0\" run --json 2>>log";
        command.args(["-c", script, env!("CARGO_BIN_EXE_mangrove"), space]);
        command.current_dir(self.path()).env("MANGROVE_CONFIG", "mangrove.toml");
        Self::start(command)
    }

    fn start(mut command: Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let mut running = Running { child, out, err, addresses: Addresses::default() };
        let ready: Value = match serde_json::from_str(&line) {
            Ok(ready) => ready,
            Err(_) => panic!("not ready: {:?}", running.end()),
        };
        running.addresses = serde_json::from_value(ready["addresses"].clone()).unwrap();
        running
    }
}

/// A node as a process of its own. Killed, by its number, when it is dropped.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    pub addresses: Addresses,
}

impl Running {
    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads the log up to the line that has a text in it.
    pub fn until_log(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.err.read_line(&mut line).unwrap(), 0, "it ended without saying {text}");
        }
        line
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, and says what it said after it was ready.
    pub fn end(&mut self) -> Said {
        let status = block_on(async {
            let wait = async {
                loop {
                    if let Some(status) = self.child.try_wait().unwrap() {
                        return status;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, wait).await.expect("it ends")
        });
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_string(&mut err).unwrap();
        Said { code: status.code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
