//! A load generator for XMPP servers on loopback that also accounts what the server's processes use. One thread, one
//! command a run, one line of JSON on standard output. It is a tool beside the server and shares no code with it, so that
//! a mistake of the server's parser cannot hide behind the same mistake here.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool: printing is its job")]
#![allow(
    clippy::disallowed_methods,
    reason = "a load generator of one thread; the supervised processes are the server's"
)]

mod accounts;
mod args;
mod burst;
mod chat;
mod churn;
mod conn;
mod contacts;
mod ctx;
mod detached;
mod end;
mod fan;
mod gauges;
mod idle;
mod login;
mod logon;
mod muc;
mod offline;
mod pair;
mod phase;
mod procstat;
mod pubsub;
mod report;
mod resident;
mod resume;
mod roam;
mod roster;
mod sasl;
mod soak;
mod stats;
mod sys;
mod window;
mod xml;

use std::process::ExitCode;
use std::rc::Rc;

use serde_json::json;

use args::Args;
use ctx::Ctx;

/// A result whose error is a line for the person who runs the tool.
pub type R<T> = Result<T, String>;

const HELP: &str = "\
xload COMMAND [--key value ...]      one JSON line on stdout, errors on stderr, exit 1 on any loss or mismatch

commands
  probe            features offered before and after authentication
  register         --users N [--conc 32]                 in-band registration (an existing account counts as ok)
  churn            --conc C --secs T [--to bare|full] [--roster]   short sessions in pairs (closed loop)
                   --rate R --secs T ...                           R sessions/s arrive (open loop)
  idle             --conns N [--conc 64] [--quiet 10[,45]] [--lock FILE]   memory per connection
  chat             --pairs P --window W --size S --secs T          closed loop
                   --pairs P --rate R --size S --secs T            open loop, latency from the intended time
  resume           --conc C --each N --secs T            C clients at work with N sessions each: resume one, cut it (XEP-0198)
  roam             --clients N --nodes A:P,A:P.. [--rate R] [--stay S] [--silence 5] [--ping 5] [--quiet 12] [--settle 120] [--list] (standard input: quiet, look)
                   clients that resume at any node; R messages a second until standard input says `quiet`; all are accounted for
  chat-detached    --pairs P --burst K --window W --size S --secs T   K messages to a session without a connection, then
                                                         it is resumed, gets them and is cut again
  offline          --pairs P --burst K --window W --size S --conc C --secs T   rounds: K messages to each of P users who are not
                                                         there; they log on and get them; they log on once more
  logon            --users N --conc C --secs T           every user logs on and leaves: the first time, and later times
  fanout-muc       --occupants M --window W --size S --secs T
  fanout-pubsub    --subscribers M --window W --size S --secs T [--persist 0|1]
  roster-setup     --groups G --contacts R               mutual subscriptions (idempotent)
  roster-presence  --groups G --contacts R --secs T [--mode toggle|relogin]

  soak             --idle N --churn C --secs T [--warmup 60] [--hold 5] [--messages 5] [--settle 20] [--tolerance 10]
                   [--look 10] [--metrics ADDR:PORT]     idle clients, others that come, chat and go; nothing may stay

common
  --host 127.0.0.1 --port 5222 | --nodes ADDR:PORT,ADDR:PORT (chat, churn, idle: users are there by turns)  --domain localhost --tls starttls|none|direct --mech plain|scram-sha-1|scram-sha-256
  --user-prefix user --first 0 --users N --password secret --pid P[,P] (server roots; children are added)
  --database-pid P[,P] --database-calls COMMAND (offline, logon: the server's database; COMMAND prints how often it was asked)
  --warmup 3 --timeout 30 --src 8 (source addresses 127.0.0.2..) --sasl2 off|auto|require --sm --tls-resume
  --session auto|always --no-self-presence --scram-cache FILE --label TEXT --muc conference.DOMAIN --pubsub pubsub.DOMAIN
";

async fn command(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    match a.cmd.as_str() {
        "probe" => accounts::probe(cx, a).await,
        "register" => accounts::register(cx, a).await,
        "churn" => churn::run(cx, a).await,
        "idle" => idle::run(cx, a).await,
        "chat" => chat::run(cx, a).await,
        "fanout-muc" => muc::run(cx, a).await,
        "fanout-pubsub" => pubsub::run(cx, a).await,
        "resume" => resume::run(cx, a).await,
        "chat-detached" => detached::run(cx, a).await,
        "offline" => offline::run(cx, a).await,
        "logon" => logon::run(cx, a).await,
        "soak" => soak::run(cx, a).await,
        "roam" => roam::run(cx, a).await,
        "roster-setup" => contacts::run(cx, a).await,
        "roster-presence" => roster::run(cx, a).await,
        c => Err(format!("unknown command {c}\n{HELP}")),
    }
}

/// True when the run was clean.
fn run(a: &Args) -> R<bool> {
    sys::need_files(0)?;
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("runtime: {e}"))?;
    let cache = a.opt("scram-cache");
    tokio::task::LocalSet::new().block_on(&rt, async {
        let cx = Ctx::from_args(a)?;
        let clean = command(Rc::clone(&cx), a).await;
        if let Some(path) = &cache {
            cx.cache.save(path);
        }
        clean
    })
}

fn main() -> ExitCode {
    let a = match Args::parse(std::env::args().skip(1)) {
        Ok(a) => a,
        Err(e) => {
            eprintln!("xload: {e}\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if matches!(a.cmd.as_str(), "help" | "--help" | "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(&a) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            println!("{}", json!({"cmd": a.cmd, "ok": false, "fatal": e}));
            eprintln!("xload: {e}");
            ExitCode::FAILURE
        }
    }
}
