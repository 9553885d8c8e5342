//! Several nodes in one program ([`Network`]); and real Redis servers for tests, also those of other crates: started on free ports in folders of their own, killed, stopped and gone
//! with the test.
//!
//! The program is `redis-server`, which `cargo xtask test` installs.

mod network;

pub use network::{Joined, Network};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What goes wrong with a server of the tests ends them.
pub type KitError = Box<dyn std::error::Error + Send + Sync>;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

type Started = SyncSender<std::io::Result<Child>>;

/// Starts processes from a thread that lives as long as the test's process: the system ends them with their parent, which is a thread.
static STARTER: LazyLock<SyncSender<(Command, Started)>> = LazyLock::new(|| {
    let (sender, commands) = sync_channel::<(Command, Started)>(16);
    // without a thread nothing can be sent
    drop(thread::Builder::new().name("redis".to_owned()).spawn(move || {
        for (mut command, started) in commands {
            drop(started.send(command.spawn()));
        }
    }));
    sender
});

/// A `redis-server`, its folder and its port. It ends with this value, and with the process of the test.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    dir: TempDir,
    arguments: Vec<String>,
    /// How often it was started.
    starts: Mutex<usize>,
    child: Mutex<Option<Child>>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk; with further words of its configuration.
    ///
    /// # Errors
    /// When there is no program, or it does not start.
    pub async fn start(arguments: &[&str]) -> Result<Self, KitError> {
        let mut all: Vec<&str> = vec!["--save", "", "--appendonly", "no", "--protected-mode", "no"];
        all.extend(arguments);
        let (dir, port) = (TempDir::with_prefix("redis-")?, free_port()?);
        let listens = if all.contains(&"--tls-port") { "0".to_owned() } else { port.to_string() };
        let mut all: Vec<String> = all
            .into_iter()
            .map(|word| if word == "PORT" { port.to_string() } else { word.to_owned() })
            .collect();
        all.extend(["--port".to_owned(), listens]);
        Self::run(dir, port, all).await
    }

    /// Starts a Sentinel that watches a primary on this machine as `service`; one alone decides that it is gone, after half a second.
    ///
    /// # Errors
    /// When there is no program, or it does not start.
    pub async fn sentinel(service: &str, primary: u16) -> Result<Self, KitError> {
        let (dir, port) = (TempDir::with_prefix("sentinel-")?, free_port()?);
        let file = dir.path().join("sentinel.conf");
        let words = format!(
            "port {port}\nprotected-mode no\nsentinel monitor {service} 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds {service} 500\nsentinel failover-timeout {service} 3000\n"
        );
        fs::write(&file, words)?;
        let all = vec![file.display().to_string(), "--sentinel".to_owned()];
        Self::run(dir, port, all).await
    }

    async fn run(dir: TempDir, port: u16, mut arguments: Vec<String>) -> Result<Self, KitError> {
        for (name, file) in [("--dir", PathBuf::new()), ("--logfile", "log".into())] {
            arguments.extend([name.to_owned(), dir.path().join(file).display().to_string()]);
        }
        arguments.extend(["--bind", "127.0.0.1"].map(str::to_owned));
        let (starts, child) = (Mutex::default(), Mutex::default());
        let server = Self { port, dir, arguments, starts, child };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, with nothing in it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&self) -> Result<(), KitError> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "redis-server"]).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (started, child) = sync_channel(1);
        STARTER.send((command, started))?;
        *self.child.lock() = Some(child.recv()??);
        *self.starts.lock() += 1;
        let (since, starts) = (Instant::now(), *self.starts.lock());
        loop {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let ready = ["eady to accept connections", "Sentinel ID is"];
            if ready.iter().any(|word| log.matches(word).count() >= starts) {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("no redis-server at port {}:\n{log}", self.port).into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it says to a command: the first line.
    ///
    /// # Errors
    /// When it cannot be asked, or says that it failed.
    pub fn say(&self, command: &str) -> Result<String, KitError> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{command}\r\n")?;
        let (mut reader, mut line) = (BufReader::new(stream), String::new());
        reader.read_line(&mut line)?;
        if line.starts_with('$') && line.trim() != "$-1" {
            let length: usize = line.trim().trim_start_matches('$').parse()?;
            let mut text = vec![0; length];
            std::io::Read::read_exact(&mut reader, &mut text)?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        match line.strip_prefix('-') {
            Some(error) => Err(error.trim().to_owned().into()),
            None => Ok(line.trim().to_owned()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), KitError> {
        let child = self.child.lock();
        let child = child.as_ref().ok_or("it does not run")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).ok_or("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills it, as SIGKILL does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> Result<(), KitError> {
        let mut child = self.child.lock().take().ok_or("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Has it hang.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> Result<(), KitError> {
        self.signal(Signal::STOP)
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn go_on(&self) -> Result<(), KitError> {
        self.signal(Signal::CONT)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// A Redis Cluster of three primaries: each has a third of the slots.
///
/// # Errors
/// When it does not come together.
pub async fn redis_cluster() -> Result<Vec<RedisServer>, KitError> {
    let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    let mut all: Vec<RedisServer> = Vec::new();
    for slots in ["0 5460", "5461 10922", "10923 16383"] {
        // its port for the others is 10,000 above
        let one = RedisServer::start(&arguments).await?;
        one.say(&format!("CLUSTER ADDSLOTSRANGE {slots}"))?;
        one.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", all.len() + 1))?;
        if let Some(first) = all.first() {
            one.say(&format!("CLUSTER MEET 127.0.0.1 {}", first.port()))?;
        }
        all.push(one);
    }
    let since = Instant::now();
    for one in &all {
        let known =
            |info: &str| info.contains("cluster_state:ok") && info.contains("cluster_size:3");
        while !known(&one.say("CLUSTER INFO")?) {
            if since.elapsed() > PATIENCE {
                return Err("the Redis Cluster does not come together".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(all)
}

/// A port that is free, as is the one 10,000 above.
fn free_port() -> Result<u16, KitError> {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let bus = port.checked_add(10_000);
        if bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return Ok(port);
        }
    }
}
