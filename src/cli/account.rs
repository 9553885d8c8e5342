//! `mangrove account add|list|passwd|remove|import`: through the running node, or on its stores
//! when none runs. Keys are derived here: a password goes no further.

use super::{
    Done, Failure, NodeArgs, import,
    output::{Output, count, shown, value},
    password::PasswordArgs,
};
use mangrove::admin::{
    client::Client,
    protocol::{AccountRow, NewAccount, Outcome, Request, Row},
};
use serde_json::json;
use xmpp::{
    jid::BareJid,
    sasl::{PASSWORD_RULE, ScramKeys},
};

/// Accounts in one page of a list.
const PAGE: usize = 1000;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make an account
    Add {
        /// Whose: user@host
        jid: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List accounts
    List {
        /// Of this host only
        #[arg(long)]
        host: Option<String>,
    },
    /// Change a password
    Passwd {
        /// Whose: user@host
        jid: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Remove an account with everything that is kept of it
    Remove {
        /// Whose: user@host
        jid: String,
    },
    /// Make accounts from lines `user@host password` on standard input
    Import,
}

pub async fn account(node: &NodeArgs, command: Command, out: &mut Output) -> Done {
    match command {
        Command::Add { jid, password } => {
            let account = new(&jid, password)?;
            with(node.connect_or_make().await?, async |client| add(client, account, out).await)
                .await
        }
        Command::Passwd { jid, password } => {
            let request = Request::AccountPasswd { account: new(&jid, password)? };
            with(node.connect_or_open().await?, async |client| {
                change(client, request, "changed", out).await
            })
            .await
        }
        Command::Remove { jid } => {
            let request = Request::AccountRemove { jid: address(&jid)? };
            with(node.connect_or_open().await?, async |client| {
                change(client, request, "removed", out).await
            })
            .await
        }
        Command::List { host } => {
            with(node.connect_or_open().await?, async |client| {
                list(client, host.as_deref(), out).await
            })
            .await
        }
        Command::Import => {
            with(node.connect_or_make().await?, async |client| import::import(client, out).await)
                .await
        }
    }
}

/// Does something with a node, and lets go of it in good order.
async fn with(mut client: Client, work: impl AsyncFnOnce(&mut Client) -> Done) -> Done {
    let done = work(&mut client).await;
    client.close().await;
    done
}

/// The address of an account.
pub fn address(text: &str) -> Result<BareJid, Failure> {
    let jid: BareJid = text.parse().map_err(|e| Failure::usage(format!("{}: {e}", shown(text))))?;
    if jid.node().is_none() {
        return Err(Failure::usage(format!("{}: an account needs user@host", shown(text))));
    }
    Ok(jid)
}

fn new(jid: &str, password: PasswordArgs) -> Result<NewAccount, Failure> {
    let jid = address(jid)?;
    let password = password.read(jid.as_str())?;
    let keys = ScramKeys::fresh(&password)
        .ok_or_else(|| Failure::usage(format!("this password is not allowed: {PASSWORD_RULE}")))?;
    Ok(NewAccount { jid, keys })
}

async fn add(client: &mut Client, account: NewAccount, out: &mut Output) -> Done {
    let jid = account.jid.clone();
    let (rows, _) = client.rows(Request::AccountAdd { accounts: vec![account] }).await?;
    let outcome = rows.iter().find_map(|row| match row {
        Row::Account(AccountRow { outcome, .. }) => Some(*outcome),
        _ => None,
    });
    match outcome {
        Some(Outcome::Created) => {
            say(jid.as_str(), "created", out);
            Ok(())
        }
        Some(Outcome::NoSuchHost) => {
            let (hosts, _) = client.rows(Request::Hosts {}).await?;
            let hosts: Vec<_> = hosts.iter().filter_map(host_of).collect();
            Err(Failure::new(format!(
                "{} is not a host of this server, which serves {}; add it to server.hosts",
                jid.domain(),
                hosts.join(", ")
            )))
        }
        _ => Err(Failure::new(format!(
            "{jid} exists already; to change its password: mangrove account passwd {jid}",
            jid = jid.as_str()
        ))),
    }
}

fn host_of(row: &Row) -> Option<&str> {
    match row {
        Row::Host(host) => Some(host),
        _ => None,
    }
}

fn say(jid: &str, what: &str, out: &mut Output) {
    if out.json {
        out.json(&json!({ "jid": jid, "outcome": what }));
    } else {
        out.text(&format!("{jid} {what}"));
    }
}

async fn change(client: &mut Client, request: Request, what: &str, out: &mut Output) -> Done {
    let (rows, _) = client.rows(request).await?;
    for row in rows {
        if let Row::Account(AccountRow { jid, .. }) = row {
            say(&jid, what, out);
        }
    }
    Ok(())
}

async fn list(client: &mut Client, host: Option<&str>, out: &mut Output) -> Done {
    let hosts = match host {
        Some(host) => {
            let prepared = xmpp::jid::prepare_domain(host);
            vec![prepared.map_err(|e| Failure::usage(format!("{host}: {e}")))?.into_owned()]
        }
        None => {
            let (rows, _) = client.rows(Request::Hosts {}).await?;
            rows.iter().filter_map(host_of).map(str::to_owned).collect()
        }
    };
    let (mut total, mut all) = (0, Vec::new());
    for host in hosts {
        let mut after: Option<BareJid> = None;
        loop {
            let request = Request::AccountList { host: host.clone(), after, limit: PAGE };
            let (page, _) = client.rows(request).await?;
            total += page.len();
            let jids: Vec<&str> = page.iter().filter_map(jid_of).collect();
            after = jids.last().and_then(|jid| jid.parse().ok());
            if out.json {
                all.extend(page.iter().map(|row| json!({ "jid": value(row)["jid"] })));
            } else if !jids.is_empty() {
                out.text(&jids.join("\n"));
            }
            if page.len() < PAGE || after.is_none() {
                break;
            }
        }
    }
    if out.json {
        out.json(&all);
    } else {
        out.text(&count(total, "account"));
    }
    Ok(())
}

fn jid_of(row: &Row) -> Option<&str> {
    match row {
        Row::Account(account) => Some(&account.jid),
        _ => None,
    }
}
