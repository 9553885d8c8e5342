//! A cluster of three nodes on this machine: two people on different nodes chat, one of the nodes is killed, and nothing is lost.
//!
//! `cargo run --release --example three_nodes` does all of it: it starts a Redis (`redis-server`), a MongoDB (`MONGOD`, or what
//! `cargo xtask mongod` fetched) and three nodes, each a process of its own, and ends them.

mod client;
mod nodes;

use client::Client;
use nodes::{Cluster, NAMES};
use std::{
    error::Error,
    io::{Write, stdout},
    path::Path,
    process::Command,
    time::Instant,
};

/// Messages that each of them sends before the node is killed, and that one gets after it.
const MESSAGES: usize = 5;

/// Builds the server if it is not built: a program of this package that no example needs.
fn build() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--quiet", "--bin", "mangrove"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    match cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success() {
        true => Ok(()),
        false => Err("the server does not build".into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    build()?;
    // beside the folder `examples`, in which this program is
    let this = std::env::current_exe()?;
    let beside = this.parent().and_then(Path::parent).ok_or("this program is nowhere")?;
    run(&beside.join("mangrove")).await
}

/// Runs it with nodes of that program.
///
/// # Errors
/// Whatever does not go as it says.
pub async fn run(mangrove: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut out = stdout();
    let [first, second, third] = NAMES;
    let mut cluster = Cluster::start(mangrove, &["juliet", "romeo"]).await?;
    writeln!(out, "Redis, which says who is where: {}", cluster.redis_address())?;
    writeln!(out, "MongoDB, the store that the nodes share: {}", cluster.store_address())?;
    for name in NAMES {
        writeln!(out, "node {name}: process {}, {}", cluster.pid(name)?, cluster.c2s(name)?)?;
    }

    let mut juliet = Client::log_on(cluster.c2s(first)?, "juliet").await?;
    let mut romeo = Client::log_on(cluster.c2s(second)?, "romeo").await?;
    writeln!(out, "\nJuliet is on {first}, Romeo on {second}. They write to each other:")?;
    for n in 1..=MESSAGES {
        juliet.say("romeo", &format!("Romeo, {n}")).await?;
        writeln!(out, "  {second}: {}", romeo.hear().await?)?;
        romeo.say("juliet", &format!("Juliet, {n}")).await?;
        writeln!(out, "  {first}: {}", juliet.hear().await?)?;
    }

    // what an <a/> has counted, her presence too, goes on; the rest a client has to send again (XEP-0198 section 5)
    juliet.accepted().await?;
    writeln!(out, "\n{first} is killed (kill -9), and Romeo goes on:")?;
    cluster.kill(first)?;
    let killed = Instant::now();
    let mut said = Vec::new();
    for n in 1..=MESSAGES {
        let text = format!("Art thou gone? {n}");
        romeo.say("juliet", &text).await?;
        said.push(text);
    }
    // each is one node's, or the store's, from now on
    romeo.accepted().await?;
    writeln!(out, "  {MESSAGES} messages were accepted by {second}")?;

    if !juliet.come_back(cluster.c2s(third)?).await? {
        return Err(format!("Juliet could not resume her session on {third}").into());
    }
    writeln!(out, "\nJuliet resumes her session on {third}, and gets what she missed:")?;
    let mut heard = Vec::new();
    while !said.iter().all(|text| heard.contains(text)) {
        let text = juliet.hear().await?;
        writeln!(out, "  {third}: {text}")?;
        heard.push(text);
    }
    let after = killed.elapsed().as_secs_f32();
    let twice = heard.len() - said.len();
    writeln!(out, "nothing is lost ({twice} came twice), {after:.1} s after {first} was killed")?;

    juliet.say("romeo", "I am here").await?;
    writeln!(out, "  {second}: {}", romeo.hear().await?)?;
    cluster.stop().await?;
    writeln!(out, "\nThe other nodes are stopped.")?;
    Ok(())
}
