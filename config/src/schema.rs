//! The node's own options, section by section: [`Config`].
//!
//! What a module can be told is declared beside the module. These comments are the reference that
//! operators read (`mangrove config reference`).

use crate::{
    Network, Sections,
    units::{ByteSize, bytes, hours, kib, mib, millis, mins, secs},
};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The whole configuration of a node, without its modules.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[c2s]`
    pub c2s: C2s,
    /// `[limits]`
    pub limits: Limits,
    /// `[sasl]`
    pub sasl: Sasl,
    /// `[stream_management]`
    pub stream_management: StreamManagement,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[[certificate]]`
    pub certificate: Vec<Certificate>,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[redis]`
    pub redis: Redis,
    /// `[storage]`
    pub storage: Storage,
    /// `[mongodb]`
    pub mongodb: Mongodb,
    /// `[[mongodb_accounts]]`
    pub mongodb_accounts: Vec<MongodbAccounts>,
    /// `[[http_accounts]]`
    pub http_accounts: Vec<HttpAccounts>,
    /// `[[jwt_accounts]]`
    pub jwt_accounts: Vec<JwtAccounts>,
    /// `[http]`
    pub http: Http,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// Takes what is the node's own; the order here is the order of the reference.
    pub(crate) fn take(from: &mut Sections) -> Self {
        Self {
            server: from.section("server"),
            c2s: from.section("c2s"),
            limits: from.section("limits"),
            sasl: from.section("sasl"),
            stream_management: from.section("stream_management"),
            delivery: from.section("delivery"),
            certificate: from.list("certificate"),
            cluster: from.section("cluster"),
            redis: from.section("redis"),
            storage: from.section("storage"),
            mongodb: from.section("mongodb"),
            mongodb_accounts: from.list("mongodb_accounts"),
            http_accounts: from.list("http_accounts"),
            jwt_accounts: from.list("jwt_accounts"),
            http: from.section("http"),
            admin: from.section("admin"),
            log: from.section("log"),
        }
    }

    /// What options say together.
    pub(crate) fn check(&self, from: &mut Sections) {
        let Limits { max_stanza, max_stanza_unauthenticated, queued_bytes, .. } = self.limits;
        if queued_bytes < max_stanza {
            let message = format!("{queued_bytes} cannot hold a stanza of {max_stanza}");
            let fix = "set limits.queued_bytes to at least limits.max_stanza";
            from.conflict(["limits.queued_bytes", "limits.max_stanza"], &message, fix);
        }
        if max_stanza_unauthenticated > max_stanza {
            let (message, fix) = (
                format!("{max_stanza_unauthenticated} before login, but {max_stanza} after it"),
                "set limits.max_stanza to at least limits.max_stanza_unauthenticated",
            );
            let both = ["limits.max_stanza_unauthenticated", "limits.max_stanza"];
            from.conflict(both, &message, fix);
        }
        if self.cluster.name.is_some() && self.storage.backend != Backend::Mongodb {
            let message =
                "the nodes of a cluster share one store, and what is kept so is one node's";
            let fix = "set storage.backend = \"mongodb\", or leave cluster.name out";
            from.conflict(["storage.backend", "cluster.name"], message, fix);
        }
        if self.cluster.name.is_some() && self.redis.uri.is_none() {
            let message = "nodes find one another, and one another's clients, by their registry";
            let fix = "set redis.uri, or leave cluster.name out";
            from.conflict(["redis.uri", "cluster.name"], message, fix);
        }
        if self.cluster.name.is_some() {
            let (both, node) = (["server.node", "cluster.name"], &self.server.node);
            if *node == Self::default().server.node {
                let message = "every node of a cluster has another name";
                from.conflict(both, message, "set server.node");
            } else if !is_node_name(node) {
                let message = format!("{node:?} cannot be in a certificate");
                let fix =
                    "call the node by letters, digits, - and ., beginning with a letter or digit";
                from.conflict(both, &message, fix);
            }
        }
        if self.redis.password.is_some() && self.redis.uri.is_none() {
            let (message, fix) = ("there is nothing to log on to", "set redis.uri too");
            from.conflict(["redis.password", "redis.uri"], message, fix);
        }
        if self.mongodb.password.is_some() && self.mongodb.user.is_none() {
            let (message, fix) = ("nobody logs on with it", "set mongodb.user too");
            from.conflict(["mongodb.password", "mongodb.user"], message, fix);
        }
        if !self.sasl.plain && self.sasl.mechanisms.is_empty() {
            let fix = "set sasl.plain = true, or allow one of sasl.mechanisms";
            from.conflict(["sasl.mechanisms", "sasl.plain"], "nobody could log in", fix);
        }
    }

    /// Whether the accounts of a host belong to somebody else.
    pub fn is_elsewhere(&self, host: &str) -> bool {
        let mongodb = self.mongodb_accounts.iter().map(|of| &of.host);
        let http = self.http_accounts.iter().map(|of| &of.host);
        let jwt = self.jwt_accounts.iter().map(|of| &of.host);
        mongodb.chain(http).chain(jwt).any(|of| of == host)
    }

    /// The socket of the command line tools: as configured, or `admin.sock` under the data.
    pub fn admin_socket(&self) -> PathBuf {
        let default = || self.server.data.join("admin.sock");
        self.admin.socket.clone().unwrap_or_else(default)
    }
}

/// Whether a node of a cluster may be called so: as a host, since a certificate names it.
pub fn is_node_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    begins && name.len() <= 63 && name.chars().all(good)
}

impl Default for Config {
    fn default() -> Self {
        Self::take(&mut Sections::empty())
    }
}

fn every_address(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]
}

crate::section! {
    /// Who this server is and where it keeps its data.
    pub struct Server {
        /// The domains whose users this server answers for, such as "example.org". A client
        /// that names none of them is refused in the name of the first.
        pub hosts: Vec<String> = vec!["localhost".into()], in 1..,
        /// The directory for everything that is kept: accounts, messages, certificates made by the
        /// server itself. Relative to the working directory; made at the first start.
        pub data: PathBuf = "data".into(),
        /// The name of this node in logs and metrics.
        pub node: String = "mangrove".into(),
        /// Whether the system may write this process's memory to a file when it crashes, and debuggers of the same user
        /// may look into it, as far as the core limit of the process (`ulimit -c`) allows. The keys of all TLS connections are in there.
        pub core_dumps: bool = false,
    }
}

crate::section! {
    /// Connections of clients (RFC 6120).
    pub struct C2s {
        /// Addresses for connections that begin in clear and are upgraded by STARTTLS. An empty
        /// list: none. Port 0: any free one.
        pub starttls: Vec<SocketAddr> = every_address(5222),
        /// Addresses for connections that are TLS from the first byte (XEP-0368). An empty list:
        /// none.
        pub direct_tls: Vec<SocketAddr> = every_address(5223),
        /// Whether clients have to use TLS before they log in. Only turn it off where nobody else
        /// can listen, such as in a test.
        pub require_tls: bool = true,
        /// What is sent over TLS 1.3 after the handshake is padded to a multiple of this, as far as a record of 16 KiB has
        /// room, so that its size says less about it (RFC 8446 section 5.4). 0: not padded.
        pub padding: ByteSize = bytes(0), in bytes(0)..=kib(16),
        /// Whether every connection has to begin with a PROXY protocol header (version 1 or 2), as
        /// load balancers send it. The address in it then counts as the client's.
        pub proxy_protocol: bool = false,
        /// The networks a PROXY header is believed from; connections from elsewhere are closed. An
        /// empty list: from anywhere.
        pub proxy_from: Vec<Network> = Vec::new(),
        /// Where clients come to this node (HOST[:PORT]), for those that another node of the cluster sends here when it gives up its
        /// sessions (`mangrove node drain`). Not set: they are told to try another one, and come where DNS has them.
        pub location: Option<String> = None,
        /// Connections at the same time, as far as the limit of open files allows; for a further
        /// one the oldest makes room that has not opened its stream, or not logged on for 5 s.
        pub max_connections: usize = 100_000, in 1..,
        /// Connections at the same time from one address; further ones are
        /// closed at once.
        pub max_connections_per_address: usize = 1_000, in 1..,
        /// Time from the connection to the end of login, TLS included.
        pub negotiation_timeout: Duration = secs(30), in millis(100)..=mins(10),
        /// Silence after which a client is asked whether it is still there.
        pub idle: Duration = mins(5), in millis(100)..=hours(24),
    }
}

crate::section! {
    /// What one client may cost (told to it as XEP-0478 where it should know), and the node as a whole.
    pub struct Limits {
        /// Memory of the node. From 80 % of it new log-ons wait; from 90 % no connection is accepted
        /// and the largest queues go to the store, or back to their senders. Not set: three quarters
        /// of what the machine, or the control group of the node, has.
        pub memory: Option<ByteSize> = None, in mib(64)..,
        /// Size of a stanza. RFC 6120 section 13.12 asks for at least 10000.
        pub max_stanza: ByteSize = kib(256), in bytes(10_000)..=mib(16),
        /// Size of anything sent before login. RFC 6120 section 13.12 asks for at least 10000.
        pub max_stanza_unauthenticated: ByteSize = bytes(10_000), in bytes(10_000)..=mib(1),
        /// Depth of elements in a stanza.
        pub max_depth: usize = 64, in 8..=1_000,
        /// Resources of one account at the same time, those that wait to be resumed (XEP-0198) too: of these the one
        /// that has waited the longest makes room for a further one.
        pub max_resources: usize = 16, in 1..=1_000,
        /// Stanzas that wait for a slow client.
        pub queued: usize = 1_000, in 10..=1_000_000,
        /// Size of all stanzas that wait for a slow client; at least max_stanza. Those that it has
        /// not acknowledged (XEP-0198) may have eight times as much.
        pub queued_bytes: ByteSize = mib(2), in kib(64)..=mib(1024),
        /// Stanzas sent to a client that it has not acknowledged yet (XEP-0198).
        pub unacked: usize = 1_000, in 10..=100_000,
        /// Bytes a second that one session may send for long; what comes faster waits.
        /// 0: no limit.
        pub session_rate: ByteSize = kib(128),
        /// Bytes that one session may send at once before session_rate holds it back.
        pub session_burst: ByteSize = mib(1), in kib(16)..,
        /// Bytes a second that all sessions from one address together may send for long.
        /// 0: no limit.
        pub address_rate: ByteSize = bytes(0),
        /// Bytes that all sessions from one address together may send at once before address_rate
        /// holds them back.
        pub address_burst: ByteSize = mib(4), in kib(16)..,
        /// Addresses a session may have sent directed presence to at the same time (RFC 6121
        /// section 4.6), of 128 bytes each; fewer if they are longer.
        pub directed: usize = 500, in 1..=100_000,
    }
}

crate::section! {
    /// How clients log in.
    pub struct Sasl {
        /// Whether PLAIN is offered. It shows the password to the server, on TLS only.
        pub plain: bool = true,
        /// The SCRAM mechanisms that are offered. Those with -PLUS are bound to the TLS
        /// connection, and offered on TLS only. SCRAM-SHA-1-PLUS is left out: clients that know no
        /// other one with -PLUS can bind to tls-unique alone, which is not offered, and would fail.
        pub mechanisms: Vec<Mechanism> = usual_mechanisms(),
        /// Failed tries on one connection, after which it is closed. (RFC 6120 section 6.4.5 asks for
        /// 2 to 5; some clients go through several mechanisms.)
        pub max_failures: u32 = 5, in 1..=100,
        /// Failed tries for one account from one address within throttle_window, after which
        /// further ones are refused. Those that have begun count too, until they are decided or
        /// given up.
        pub throttle_failures: u32 = 10, in 1..=100_000,
        /// The time in which failed tries are counted.
        pub throttle_window: Duration = mins(5), in millis(100)..=hours(24),
    }
}

fn usual_mechanisms() -> Vec<Mechanism> {
    Mechanism::ALL.iter().copied().filter(|m| *m != Mechanism::ScramSha1Plus).collect()
}

crate::choice! {
    /// A SASL mechanism of the SCRAM family.
    pub enum Mechanism {
        /// SHA-512 with channel binding
        ScramSha512Plus = "SCRAM-SHA-512-PLUS",
        /// SHA-512
        ScramSha512 = "SCRAM-SHA-512",
        /// SHA-256 with channel binding (RFC 7677)
        ScramSha256Plus = "SCRAM-SHA-256-PLUS",
        /// SHA-256 (RFC 7677)
        ScramSha256 = "SCRAM-SHA-256",
        /// SHA-1 with channel binding (RFC 5802)
        ScramSha1Plus = "SCRAM-SHA-1-PLUS",
        /// SHA-1 (RFC 5802)
        ScramSha1 = "SCRAM-SHA-1",
    }
}

crate::section! {
    /// Stream management (XEP-0198).
    pub struct StreamManagement {
        /// Time a session whose connection was lost waits to be resumed.
        pub window: Duration = mins(5), in millis(100)..=hours(24),
    }
}

crate::section! {
    /// What becomes of messages on their way.
    pub struct Delivery {
        /// Which messages that wait for a session are in the store before their sender's XEP-0198 acknowledgement
        /// counts them: these survive whatever happens to the server. Messages for users without a session always
        /// are. For new sessions. Not set: "write-behind" for a node of a cluster (cluster.name), "detached" for one that is alone.
        pub durability: Option<Durability> = None,
    }
}

crate::choice! {
    /// Which messages that wait for a session are in the store.
    pub enum Durability {
        /// all, until the client has them, and sessions before their clients are told anything
        Always = "always",
        /// those for sessions without a connection; others, and sessions, 50 ms later, if the client has not got them by then
        WriteBehind = "write-behind",
        /// those for sessions without a connection
        Detached = "detached",
        /// none
        Memory = "memory",
    }
}

crate::section! {
    /// A certificate, used for the hosts it names. The files are read again when they change. For
    /// a host that no certificate names, the server makes one itself and keeps it under data.
    pub struct Certificate {
        /// The certificate and those that lead to its issuer, in PEM.
        pub file: PathBuf,
        /// Its private key, in PEM.
        pub key: PathBuf,
    }
}

crate::section! {
    /// The cluster that this node is one of.
    pub struct Cluster {
        /// Its name. Not set: the node is alone. Nodes of a cluster share one store and one registry: storage.backend has to be mongodb,
        /// and redis.uri is needed. Each node has another server.node.
        pub name: Option<String> = None,
        /// Where other nodes connect to.
        pub listen: SocketAddr = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5290)),
        /// What they are told to connect to (HOST:PORT). Not set: the address of cluster.listen, or the system's name where that is
        /// every address.
        pub address: Option<String> = None,
        /// The directory that `mangrove cluster init` made for this node. Not set: `cluster` under data.
        pub credentials: Option<PathBuf> = None,
        /// The other nodes, as NAME=HOST:PORT, where they are not to be found by what they tell the registry.
        pub peers: Vec<String> = vec![],
        /// For how long a node is not taken for dead that does not renew its lease. It acts a second less than that without it; its
        /// clients are served by others after that.
        pub lease: Duration = secs(10), in secs(4)..=secs(120),
        /// A connection to another node over which nothing has come for so long is taken for lost.
        pub silence: Duration = secs(5), in secs(1)..=secs(60),
        /// What may be on its way to one other node. Beyond it messages go to offline storage, presence is dropped, requests are
        /// answered with an error.
        pub queue: ByteSize = mib(64), in mib(1)..,
    }
}

crate::section! {
    /// Where nodes register who is connected to them. Not needed by a node that is alone.
    pub struct Redis {
        /// Where it is: `redis://HOST[:PORT]`, `rediss://...` (TLS), `redis-sentinel://HOST:PORT,.../?sentinelServiceName=NAME`,
        /// `redis-cluster://HOST:PORT,...`; with `s` for TLS: `rediss-sentinel`, `rediss-cluster`. Not set: in this node's memory.
        pub uri: Option<String> = None,
        /// Who logs on to it. Not set: as the uri says.
        pub user: Option<String> = None,
        /// Their password; better in the environment (MANGROVE__REDIS__PASSWORD).
        pub password: Option<String> = None,
        /// A file with the certificates, in PEM, of who vouches for the server. Not set: those that the system trusts.
        pub ca: Option<PathBuf> = None,
        /// How long it may take for an answer. A node that gets none goes on without it.
        pub timeout: Duration = millis(500), in millis(50)..=secs(5),
    }
}

crate::section! {
    /// Where accounts, rosters and messages are kept.
    pub struct Storage {
        /// The kind of store.
        pub backend: Backend = Backend::Sqlite,
        /// Size of the journal under data, where messages that the node accepts are kept while MongoDB is away. When it is full,
        /// senders are told to wait.
        pub journal: ByteSize = mib(64), in mib(1)..,
    }
}

crate::section! {
    /// Where the backend "mongodb" keeps everything: a replica set (of one member, if need be) of version 5.0 or later.
    pub struct Mongodb {
        /// Where it is: `mongodb://HOST[:PORT],.../?replicaSet=NAME`.
        pub uri: String = "mongodb://localhost:27017".into(),
        /// The database. It is made at the first start.
        pub database: String = "mangrove".into(),
        /// Who logs on to it. Not set: as the uri says.
        pub user: Option<String> = None,
        /// Their password; better in the environment (MANGROVE__MONGODB__PASSWORD).
        pub password: Option<String> = None,
        /// A file with the certificates, in PEM, of who vouches for the server. TLS is used then. Not set: as the uri says.
        pub ca: Option<PathBuf> = None,
        /// How many members have to have a write on their disks before it counts: "majority", or a number.
        pub write_concern: String = "majority".into(),
        /// How long an answer may take. What takes longer counts as away.
        pub deadline: Duration = secs(3), in millis(100)..=mins(1),
    }
}

crate::section! {
    /// A host whose accounts are those of another application, in a collection of its MongoDB. What its users have here (rosters,
    /// messages) is kept here.
    pub struct MongodbAccounts {
        /// The host, one of server.hosts.
        pub host: String,
        /// Where it is. Not set: where [mongodb] is; user with password, and ca, are those of [mongodb] then where they are not
        /// set here.
        pub uri: Option<String> = None,
        /// Who logs on to it. Reading the collection is enough, if write is off; change streams need the right to `changeStream`,
        /// which the role `read` has.
        pub user: Option<String> = None,
        /// Their password. Let nobody but the server read this file, or set the whole list in the environment, in TOML.
        pub password: Option<String> = None,
        /// A file with the certificates, in PEM, of who vouches for the server. TLS is used then.
        pub ca: Option<PathBuf> = None,
        /// The database.
        pub database: String,
        /// The collection.
        pub collection: String,
        /// The field with the user's name, such as "username" or "login.name". It needs an index.
        pub user_field: String = "username".into(),
        /// What that name is.
        pub user_is: UserIs = UserIs::Localpart,
        /// Whether names are found whatever their case, as addresses have none. The field needs an index with the collation
        /// `{locale: "en", strength: 2}` then.
        pub ignore_case: bool = false,
        /// The field with the hash of the password, or a document with SCRAM keys.
        pub password_field: String = "password".into(),
        /// Whether a password that has no known format is the password itself.
        pub plain: bool = false,
        /// A field that is true for users who may not log on.
        pub disabled_field: Option<String> = None,
        /// What else a user has to be, as in `find`, in MongoDB's Extended JSON. Others are not there.
        pub filter: String = "{}".into(),
        /// Whether users may change their passwords (XEP-0077), which are written in the format that they have.
        pub write: bool = false,
        /// Whether SCRAM is offered beside PLAIN.
        pub scram: Scram = Scram::Never,
        /// When a refusal is told, after the try began: so that it says nothing of whether there is such a user.
        pub refuse_after: Duration = secs(1), in millis(0)..=secs(20),
        /// How often users with sessions are looked up, where MongoDB has no change streams.
        pub poll: Duration = millis(500), in millis(100)..=hours(1),
    }
}

crate::choice! {
    /// What the name of a user is.
    pub enum UserIs {
        /// the part of the address before the @; what cannot stand there, as in an e-mail address, is escaped (XEP-0106)
        Localpart = "localpart",
        /// the address
        Jid = "jid",
    }
}

crate::choice! {
    /// Whether SCRAM is offered.
    pub enum Scram {
        /// PLAIN alone: passwords that are hashed in a way of their own have to be seen
        Never = "never",
        /// for users whose keys are known, since they have logged on before; others have to fall back to PLAIN
        WhenKnown = "when_known",
    }
}

crate::section! {
    /// A host whose passwords are checked by a web service.
    pub struct HttpAccounts {
        /// The host, one of server.hosts.
        pub host: String,
        /// Where requests go, by POST: `https://...`, or `http://` on the same machine.
        pub url: String,
        /// What it is told in `Authorization: Bearer`.
        pub secret: Option<String> = None,
        /// A file with the certificates, in PEM, of who vouches for it. Not set: those of the system.
        pub ca: Option<PathBuf> = None,
        /// How long an answer may take.
        pub deadline: Duration = secs(3), in millis(100)..=secs(20),
        /// Requests at the same time.
        pub parallel: usize = 32, in 1..=1_000,
        /// Whether users may change their passwords (XEP-0077).
        pub write: bool = false,
        /// Whether SCRAM is offered beside PLAIN.
        pub scram: Scram = Scram::Never,
        /// When a refusal is told, after the try began.
        pub refuse_after: Duration = secs(1), in millis(0)..=secs(20),
    }
}

crate::section! {
    /// A host whose users log on with JSON Web Tokens (RFC 7519), as the password of PLAIN or by OAUTHBEARER (RFC 7628).
    pub struct JwtAccounts {
        /// The host, one of server.hosts.
        pub host: String,
        /// A file with the key: a public key in PEM, a JSON Web Key Set, or the bytes of a shared secret (at least 32).
        pub key: PathBuf,
        /// The one algorithm of the key, such as "RS256", "ES256", "EdDSA" or "HS256". Not set: that of a key that has but one, else
        /// RS256 or HS256; keys of a set say it themselves.
        pub algorithm: Option<String> = None,
        /// Who has to have issued them (`iss`). Not set: anybody with the key.
        pub issuer: Option<String> = None,
        /// For whom they have to be (`aud`). Not set: tokens without it.
        pub audience: Option<String> = None,
        /// The claim with the user: the address, or its part before the @.
        pub user_claim: String = "sub".into(),
        /// When a refusal is told, after the try began.
        pub refuse_after: Duration = secs(1), in millis(0)..=secs(20),
    }
}

crate::choice! {
    /// A kind of store.
    pub enum Backend {
        /// a file under data
        Sqlite = "sqlite",
        /// a MongoDB that nodes can share
        Mongodb = "mongodb",
        /// nothing is kept when the server stops
        Memory = "memory",
    }
}

crate::section! {
    /// For those who watch over the server: /metrics, /live and /ready.
    pub struct Http {
        /// Addresses to answer on. An empty list: none.
        pub listen: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5280))],
    }
}

crate::section! {
    /// For the command line tools.
    pub struct Admin {
        /// The Unix socket they talk to. Not set: admin.sock under data.
        pub socket: Option<PathBuf> = None,
    }
}

crate::section! {
    /// What the server says about itself.
    pub struct Log {
        /// How lines look.
        pub format: Format = Format::Auto,
        /// What is written: error, warn, info, debug or trace; also by part, such as
        /// "info,actors=debug".
        pub level: String = "info".into(),
    }
}

crate::choice! {
    /// How log lines look.
    pub enum Format {
        /// human on a terminal, json elsewhere
        Auto = "auto",
        /// for people
        Human = "human",
        /// one JSON object a line
        Json = "json",
    }
}
