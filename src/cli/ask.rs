//! Which node a command is for, and how to reach it.

use super::{Done, Failure};
use config::{Override, Report};
use mangrove::{Node, Setup, admin::client::Client};
use std::{
    io,
    path::{Path, PathBuf},
};
use storage::Backend;

/// Which node.
#[derive(Clone, Debug, clap::Args)]
pub struct NodeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true, env = "MANGROVE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The data directory, instead of server.data; admin.sock is in it, whatever admin.socket says
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The node's admin socket, instead of admin.socket
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
}

impl NodeArgs {
    /// How to call this program so that it means the same node.
    pub fn command(&self) -> String {
        let program = std::env::args().next().unwrap_or_else(|| "mangrove".to_owned());
        let flags = [("config", &self.config), ("data", &self.data), ("socket", &self.socket)];
        let flags = flags.into_iter().filter_map(|(flag, path)| {
            path.as_ref().map(|path| format!(" --{flag} {}", path.display()))
        });
        program + &flags.collect::<String>()
    }

    /// The configuration with its modules.
    pub fn setup(&self) -> Result<Setup, Failure> {
        Ok(self.read()?)
    }

    /// The configuration with its modules; mistakes as a report.
    pub fn read(&self) -> Result<Setup, Report> {
        let option = |flag: &str, option: &str, value: &Option<PathBuf>| {
            let value = value.as_ref()?.display().to_string();
            // as a TOML string: a path may look like a number
            let value = serde_json::Value::String(value).to_string();
            Some(Override { flag: flag.into(), option: option.into(), value })
        };
        let data = option("--data", "server.data", &self.data);
        let socket = option("--socket", "admin.socket", &self.socket);
        let all: Vec<_> = data.into_iter().chain(socket).collect();
        let mut setup = Setup::read(self.config.as_deref(), &all)?;
        if self.data.is_some() && self.socket.is_none() {
            // the configured one may be of a node with other data
            setup.config.admin.socket = None;
        }
        Ok(setup)
    }

    fn socket(&self) -> Result<PathBuf, Failure> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(self.setup()?.config.admin_socket()),
        }
    }

    /// The running node.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let socket = self.socket()?;
        Client::connect(&socket).await.map_err(|e| unreachable(&socket, &e))
    }

    /// The running node; its stores when none runs, which are made if there are none.
    pub async fn connect_or_make(&self) -> Result<Client, Failure> {
        self.connect_or(true).await
    }

    /// The running node; its stores when none runs, if there are any.
    pub async fn connect_or_open(&self) -> Result<Client, Failure> {
        self.connect_or(false).await
    }

    async fn connect_or(&self, make: bool) -> Result<Client, Failure> {
        let socket = self.socket()?;
        match Client::connect(&socket).await {
            Ok(client) => Ok(client),
            Err(e) if nobody(&e) => {
                let setup = self.setup()?;
                if setup.config.storage.backend == config::schema::Backend::Memory {
                    let why = "and with storage.backend = \"memory\" there is nothing without one";
                    return Err(Failure::new(format!("{} {why}", unreachable(&socket, &e).text)));
                }
                let data = &setup.config.server.data;
                let is_file = setup.config.storage.backend == config::schema::Backend::Sqlite;
                if !make && is_file && !Backend::sqlite_is_in(data) {
                    // where it looked, not how it was told to
                    let data = std::path::absolute(data).unwrap_or_else(|_| data.clone());
                    return Err(Failure::new(format!(
                        "there is no data of a node in {}, and {}",
                        data.display(),
                        unreachable(&socket, &e).text
                    )));
                }
                let node = Node::start_offline(setup).await?;
                // what is damaged can be worked on, what is not there cannot
                if !is_file && let Err(why) = node.ready().await {
                    node.stop().await;
                    return Err(Failure::new(why));
                }
                Ok(Client::Offline(node))
            }
            Err(e) => Err(unreachable(&socket, &e)),
        }
    }
}

fn nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let at = socket.display();
    Failure::new(match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("you may not use {at}; be the user the node runs as, or root")
        }
        _ if nobody(error) => format!(
            "no node answers on {at}; start one with `mangrove run`, or say which with --config, \
             --data or --socket"
        ),
        io::ErrorKind::NotADirectory => {
            format!("{at} cannot be: what is to be its directory is a file")
        }
        _ => format!("cannot connect to {at}: {error}"),
    })
}

/// Runs a command that asks.
pub fn block_on(command: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::new(format!("no runtime: {e}")))?.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::ErrorKind;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        node: NodeArgs,
    }

    fn args(args: &[&str]) -> NodeArgs {
        Args::parse_from(["mangrove"].iter().chain(args)).node
    }

    /// Stores are opened without a node only when it is certain that none uses them.
    #[test]
    fn only_where_nobody_answers_there_is_nobody() {
        for (kind, none) in [
            (ErrorKind::NotFound, true),
            (ErrorKind::ConnectionRefused, true),
            (ErrorKind::PermissionDenied, false),
            (ErrorKind::TimedOut, false),
            (ErrorKind::WouldBlock, false),
        ] {
            assert_eq!(nobody(&kind.into()), none, "{kind}");
        }
        let said = |kind: ErrorKind| unreachable(Path::new("/run/x.sock"), &kind.into()).text;
        assert!(said(ErrorKind::NotFound).starts_with("no node answers on /run/x.sock; start one"));
        let denied = "you may not use /run/x.sock; be the user the node runs as, or root";
        assert_eq!(said(ErrorKind::PermissionDenied), denied);
        assert!(said(ErrorKind::TimedOut).starts_with("cannot connect to /run/x.sock: "));
    }

    /// Its socket may be configured: that is of the node that uses the configured data.
    #[test]
    fn whoever_names_the_data_means_the_node_that_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mangrove.toml");
        std::fs::write(&file, "server.data = '/var/x'\nadmin.socket = '/run/x.sock'\n").unwrap();
        let file = file.to_str().unwrap();
        let socket = |flags: &[&str]| {
            let node = args(&[&["--config", file], flags].concat());
            let (asked, served) = (node.socket(), node.read().unwrap().config.admin_socket());
            assert_eq!(asked.map_err(|e| e.text).unwrap(), served);
            served
        };
        assert_eq!(socket(&[]), Path::new("/run/x.sock"));
        assert_eq!(socket(&["--data", "d"]), Path::new("d/admin.sock"));
        assert_eq!(socket(&["--data", "d", "--socket", "s"]), Path::new("s"));
    }

    #[test]
    fn a_path_on_the_command_line_is_a_path_whatever_it_looks_like() {
        for dir in ["12", "true", "a \"quoted\" one", "[x]", "a\\b"] {
            let setup = args(&["--data", dir]).read().unwrap();
            assert_eq!(setup.config.server.data, Path::new(dir));
            assert_eq!(setup.config.admin_socket(), Path::new(dir).join("admin.sock"));
        }
        let both = args(&["--data", "d", "--socket", "s"]);
        assert_eq!(both.socket().map_err(|e| e.text).unwrap(), Path::new("s"));
        assert_eq!(both.read().unwrap().config.admin_socket(), Path::new("s"));
        assert!(both.command().ends_with(" --data d --socket s"), "{}", both.command());
    }
}
