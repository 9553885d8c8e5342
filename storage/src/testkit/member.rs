//! One server.

use super::{KitError, Secrets};
use mongodb::{
    Client,
    bson::{Document, doc},
    options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions},
};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// How long a server may take to start, and a set to find who leads it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A process of a server, its folder and its port. It ends with this value, and with the process of the test.
#[derive(Debug)]
pub struct Member {
    pub(super) port: u16,
    dir: TempDir,
    arguments: Vec<OsString>,
    child: Mutex<Option<Child>>,
}

/// The program.
fn program() -> Result<PathBuf, KitError> {
    if let Some(path) = std::env::var_os("MONGOD") {
        return Ok(path.into());
    }
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut fetched = folders.map(|folder| folder.join("target/mongod/mongod"));
    fetched.find(|path| path.is_file()).ok_or_else(|| {
        "there is no mongod: run `cargo xtask test`, or `cargo xtask mongod` once".into()
    })
}

/// Starts processes from a thread that lives as long as the test's process: the system ends them with their parent, which
/// is a thread.
static STARTER: LazyLock<SyncSender<(Command, Started)>> = LazyLock::new(|| {
    let (sender, commands) = sync_channel::<(Command, Started)>(16);
    // without a thread nothing can be sent
    drop(thread::Builder::new().name("mongods".to_owned()).spawn(move || {
        for (mut command, started) in commands {
            drop(started.send(command.spawn()));
        }
    }));
    sender
});

type Started = SyncSender<std::io::Result<Child>>;

impl Member {
    /// Starts a server; `set`: of a replica set of that name, which is not initiated yet.
    ///
    /// # Errors
    /// When there is no program, or it does not answer.
    pub async fn start(set: Option<&str>, secrets: Option<&Secrets>) -> Result<Self, KitError> {
        let dir = TempDir::with_prefix("mongod-")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let data = dir.path().join("data");
        fs::create_dir(&data)?;
        let mut arguments: Vec<OsString> = vec!["--dbpath".into(), data.into()];
        arguments.extend(["--port".into(), port.to_string().into()]);
        arguments.extend(["--logpath".into(), dir.path().join("log").into()]);
        for argument in [
            "--bind_ip=127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB=0.25",
            "--oplogSize=64",
            "--logappend",
            "--setParameter=diagnosticDataCollectionEnabled=false",
            "--setParameter=enableTestCommands=1",
        ] {
            arguments.push(argument.into());
        }
        arguments.extend(set.map(|set| format!("--replSet={set}").into()));
        arguments.extend(secrets.into_iter().flat_map(Secrets::arguments));
        let member = Self { port, dir, arguments, child: Mutex::default() };
        member.run()?;
        member.answers(secrets).await?;
        Ok(member)
    }

    fn run(&self) -> Result<(), KitError> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program()?).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (started, child) = sync_channel(1);
        STARTER.send((command, started))?;
        *self.child.lock() = Some(child.recv()??);
        Ok(())
    }

    async fn answers(&self, secrets: Option<&Secrets>) -> Result<(), KitError> {
        let client = self.client(secrets, None)?;
        let pinged = client.database("admin").run_command(doc! { "hello": 1 }).await;
        pinged.map_err(|error| {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let from = log.len().saturating_sub(2000);
            format!("no mongod at port {}: {error}\n{}", self.port, log.get(from..).unwrap_or(&log))
        })?;
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client of this server alone, whatever set it is in.
    pub(super) fn client(
        &self,
        secrets: Option<&Secrets>,
        credential: Option<Credential>,
    ) -> Result<Client, KitError> {
        let tls = secrets.map(|secrets| TlsOptions::builder().ca_file_path(secrets.ca()).build());
        let mut options = ClientOptions::builder()
            .hosts(vec![ServerAddress::parse(self.address())?])
            .direct_connection(true)
            .server_selection_timeout(PATIENCE)
            .build();
        options.tls = tls.map(Tls::Enabled);
        options.credential = credential;
        Ok(Client::with_options(options)?)
    }

    /// What it says to a command in the database `admin`.
    ///
    /// # Errors
    /// That it failed.
    pub async fn admin(&self, command: Document) -> Result<Document, KitError> {
        Ok(self.client(None, None)?.database("admin").run_command(command).await?)
    }

    /// What it says to a command, `{command.0: command.1, ...rest}` in Extended JSON.
    ///
    /// # Errors
    /// That it failed, or that something could not be written.
    pub async fn say(
        &self,
        database: &str,
        command: (&str, &str),
        rest: serde_json::Value,
    ) -> Result<serde_json::Value, KitError> {
        super::say(&self.client(None, None)?, database, command, rest).await
    }

    fn signal(&self, signal: Signal) -> Result<(), KitError> {
        let child = self.child.lock();
        let child = child.as_ref().ok_or("it does not run")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).ok_or("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> Result<(), KitError> {
        // a stopped process as well
        self.signal(Signal::KILL)?;
        if let Some(mut child) = self.child.lock().take() {
            child.wait()?;
        }
        Ok(())
    }

    /// It hangs from now on: SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> Result<(), KitError> {
        self.signal(Signal::STOP)
    }

    /// It goes on: SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self) -> Result<(), KitError> {
        self.signal(Signal::CONT)
    }

    /// Starts one that was killed, with what it had.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn restart(&self) -> Result<(), KitError> {
        self.run()?;
        self.answers(None).await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // an error: it does not run
        drop(self.kill());
    }
}
