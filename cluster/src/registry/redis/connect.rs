//! The clients of the library, and what they trust.

use super::{
    call::evaluate,
    options::{OpenError, Options, Servers, Tls},
    scripts::ROLL,
};
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::{
        Builder, InfoKind, Key, RespVersion,
        config::{
            Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, ServerConfig,
            TlsConfig, TlsConnector,
        },
    },
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{sync::Arc, time::Duration};

/// The first wait before connecting again, the longest, and what each is longer than the one before, in ms.
const AGAIN: (u32, u32, u32) = (50, 500, 2);
/// Invalidations that wait; what is beyond makes the cache forget everything.
const INVALIDATIONS: usize = 8192;

/// Takes one name in place of where a server is.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn trusted(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in it, as PEM".to_owned()) } else { Ok(roots) }
}

impl Tls {
    /// What the library is to speak.
    fn connector(&self) -> Result<TlsConnector, OpenError> {
        let unusable = |why: String| OpenError::Options { why };
        let roots = match &self.ca {
            Some(pem) => trusted(pem).map_err(|why| unusable(format!("the CA: {why}")))?,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        let provider = Arc::new(ring::default_provider());
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let inner = inner.build().map_err(|error| unusable(error.to_string()))?;
        let verifier: Arc<dyn ServerCertVerifier> = match &self.server_name {
            None => inner,
            Some(name) => {
                let name = ServerName::try_from(name.clone());
                let name = name.map_err(|_| unusable("the server's name is no name".to_owned()))?;
                Arc::new(Named { name, inner })
            }
        };
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| unusable(error.to_string()))?.dangerous();
        Ok(config.with_custom_certificate_verifier(verifier).with_no_client_auth().into())
    }
}

fn servers(options: &Options) -> ServerConfig {
    let all = |all: &[(String, u16)]| -> Vec<Server> {
        all.iter().map(|(host, port)| Server::new(host.as_str(), *port)).collect()
    };
    match &options.servers {
        Servers::One(host, port) => ServerConfig::new_centralized(host.as_str(), *port),
        Servers::Sentinel { sentinels, service, user, password } => ServerConfig::Sentinel {
            hosts: all(sentinels),
            service_name: service.clone(),
            username: user.clone(),
            password: password.clone(),
        },
        Servers::Cluster(members) => {
            ServerConfig::Clustered { hosts: all(members), policy: Default::default() }
        }
    }
}

/// How the clients are made.
pub(super) struct Clients {
    config: Config,
    options: Options,
}

impl Clients {
    /// # Errors
    /// When the options make no sense.
    pub(super) fn new(options: &Options) -> Result<Self, OpenError> {
        options.check()?;
        let tls = options.tls.as_ref().map(Tls::connector).transpose()?;
        let clustered = matches!(options.servers, Servers::Cluster(_));
        let config = Config {
            fail_fast: false,
            username: options.user.clone(),
            password: options.password.clone(),
            server: servers(options),
            version: RespVersion::RESP3,
            database: (!clustered).then_some(options.database),
            tls: tls.map(TlsConfig::from),
            ..Config::default()
        };
        Ok(Self { config, options: options.clone() })
    }

    fn build(&self, config: Config, events: Option<usize>) -> Result<Client, OpenError> {
        let mut builder = Builder::from_config(config);
        let (first, longest, factor) = AGAIN;
        builder.set_policy(ReconnectPolicy::new_exponential(0, first, longest, factor));
        let mut performance = PerformanceConfig {
            default_command_timeout: self.options.deadline,
            ..PerformanceConfig::default()
        };
        if let Some(events) = events {
            performance.broadcast_channel_capacity = events;
        }
        builder.set_performance_config(performance);
        builder.set_connection_config(ConnectionConfig {
            connection_timeout: self.options.connect,
            internal_command_timeout: self.options.connect,
            // scripts may be sent again, but the caller has its deadline
            max_command_attempts: 1,
            // a limit makes the library lose count (its `cmd_buffer_len`): `Options::calls` is the limit
            max_command_buffer_len: 0,
            ..ConnectionConfig::default()
        });
        builder.build().map_err(|error| OpenError::Options { why: error.to_string() })
    }

    /// A client for calls.
    pub(super) fn caller(&self) -> Result<Client, OpenError> {
        self.build(self.config.clone(), None)
    }

    /// The client that hears of changes.
    pub(super) fn listener(&self) -> Result<Client, OpenError> {
        self.build(self.config.clone(), Some(INVALIDATIONS))
    }

    /// Connects once, and does what cannot be done by who may too little.
    pub(super) async fn probe(&self, leases: Vec<Key>) -> Result<(), OpenError> {
        let config = Config { fail_fast: true, ..self.config.clone() };
        let client = self.build(config, None)?;
        let probed = async {
            drop(client.init().await?);
            client.info::<String>(Some(InfoKind::Server)).await?;
            evaluate(&client, &ROLL, leases, Vec::new()).await
        };
        let probed = tokio::time::timeout(self.options.connect * 2, probed).await;
        hang_up(&client, self.options.deadline).await;
        match probed {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(OpenError::of(&error)),
            Err(_) => Err(OpenError::Away { why: "no answer".to_owned() }),
        }
    }
}

/// Ends a client.
pub(super) async fn hang_up(client: &Client, patience: Duration) {
    drop(tokio::time::timeout(patience, client.quit()).await);
}

impl OpenError {
    /// What an error of the first connection means.
    pub(super) fn of(error: &Error) -> Self {
        let why = error.details().to_owned();
        let said = |words: &[&str]| words.iter().any(|word| why.contains(word));
        match error.kind() {
            _ if said(&[
                "NOAUTH",
                "WRONGPASS",
                "NOPERM",
                "can't run this command",
                "invalid password",
                "no password",
            ]) =>
            {
                Self::Refused { why }
            }
            ErrorKind::Auth => Self::Refused { why },
            // the library has rustls's errors as Rust's programmers write them
            _ if said(&["InvalidCertificate"]) => {
                Self::Tls { why: format!("its certificate will not do ({why})") }
            }
            _ if said(&["InvalidMessage", "AlertReceived"]) => {
                Self::Tls { why: format!("it does not speak it so ({why})") }
            }
            ErrorKind::Tls => Self::Tls { why },
            ErrorKind::IO
            | ErrorKind::Timeout
            | ErrorKind::Canceled
            | ErrorKind::Sentinel
            | ErrorKind::Cluster
            | ErrorKind::Routing => Self::Away { why },
            _ if said(&["LOADING", "MASTERDOWN", "CLUSTERDOWN"]) => Self::Away { why },
            _ => Self::Failed { why },
        }
    }
}
