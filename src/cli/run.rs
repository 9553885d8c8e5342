//! `mangrove run`: a node in this process, until a signal or an operator ends it.

use super::{Done, Failure, NodeArgs, output::Output};
#[cfg(feature = "jemalloc")]
use actors::relief::Gauge;
use config::Config;
use mangrove::{Node, node::Reloaded, telemetry::logs};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use serde_json::json;
use std::{io, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long tasks outside the tree may take to end.
const LAST: Duration = Duration::from_millis(100);

pub fn run(args: &NodeArgs, out: &mut Output) -> Done {
    #[cfg_attr(not(feature = "jemalloc"), expect(unused_mut, reason = "the gauge stays"))]
    let mut setup = args.setup()?;
    #[cfg(feature = "jemalloc")]
    {
        setup.gauge = Gauge::new(crate::in_use).or_most(mangrove::node::resident);
    }
    logs::start(&setup.config.log);
    raise_file_limit();
    if !setup.config.server.core_dumps {
        keep_memory_secret();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("no runtime: {e}")))?;
    let done = runtime.block_on(async {
        let mut signals = Signals::new().map_err(Failure::new)?;
        let config = setup.config.clone();
        let node = Node::start(setup).await?;
        say_ready(&node, &config, args, out).await;
        serve(node, args, &mut signals).await
    });
    runtime.shutdown_timeout(LAST);
    done
}

/// As many connections as the system allows.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// No core dumps, nor debuggers of the same user: keys are in memory. A handler that cores are piped to is not kept away by
/// their size being limited (core(5)), but by the process not being dumpable (PR_SET_DUMPABLE(2const)).
fn keep_memory_secret() {
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    let limited = setrlimit(Resource::Core, none);
    let secret = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(secret) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
}

async fn say_ready(node: &Node, config: &Config, args: &NodeArgs, out: &mut Output) {
    let version = env!("CARGO_PKG_VERSION");
    let addresses = node.addresses();
    let seconds = node.uptime().as_secs_f64();
    if out.json {
        return out.json(&json!({ "version": version, "ready": seconds, "addresses": addresses }));
    }
    out.text(&format!("mangrove {version} ready in {seconds:.2} s: {addresses}"));
    if let Err(why) = node.ready().await {
        out.text(&format!("It is not ready yet: {why}"));
    }
    if let Ok(true) = node.env().stores.accounts.is_empty().await {
        let hosts = &config.server.hosts;
        // those of the others are made elsewhere
        if let Some(host) = hosts.iter().find(|host| !config.is_elsewhere(host)) {
            let command = args.command();
            out.text(&format!(
                "There are no accounts yet. To make one: {command} account add NAME@{host}"
            ));
        }
        out.text(&format!("Clients log on to: {}", hosts.join(", ")));
        if config.certificate.is_empty() {
            let at = config.server.data.join("certificates");
            out.text(&format!(
                "The certificate is self-signed, in {}; a client asks whether to trust it",
                at.display()
            ));
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn serve(node: Node, args: &NodeArgs, signals: &mut Signals) -> Done {
    let mut counts = tokio::time::interval(logs::EVERY);
    loop {
        tokio::select! {
            _ = counts.tick() => logs::tell_left_out(),
            _ = signals.interrupt.recv() => break,
            _ = signals.terminate.recv() => break,
            () = node.asked_to_stop() => break,
            exit = node.ended() => {
                return Err(Failure::new(format!("the node gave up: {exit}; see the log for why")));
            }
            _ = signals.hangup.recv() => reload(&node, args).await,
        }
    }
    tracing::info!("stopping; once more SIGINT stops at once");
    let done = tokio::select! {
        _ = node.stop() => Ok(()),
        _ = signals.interrupt.recv() => Err(Failure::new("stopped at once")),
    };
    logs::tell_left_out();
    done
}

/// SIGHUP: the configuration and the certificates are read again.
async fn reload(node: &Node, args: &NodeArgs) {
    let setup = match args.read() {
        Ok(setup) => setup,
        Err(report) => {
            tracing::error!("the configuration is wrong and nothing has changed\n{report}");
            return;
        }
    };
    let Reloaded { changed, restart, certificates } = node.reload(setup.config).await;
    if let Err(error) = &certificates {
        tracing::error!(%error, "the certificates stay as they were");
    }
    let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
    let certificates = certificates.unwrap_or_default();
    tracing::info!(changed, certificates, "configuration read again; modules keep their options");
    if !restart.is_empty() {
        tracing::warn!(options = restart.join(", "), "these take a restart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::dumpable_behavior;

    #[test]
    fn the_memory_is_kept_from_files_and_debuggers() {
        keep_memory_secret();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
