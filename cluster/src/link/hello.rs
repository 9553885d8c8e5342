//! What two nodes say to each other first, once their connection is encrypted: who they are. Only then do they talk the protocol of
//! ractor_cluster.

use super::{Credit, LinkError};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};
use serde::{Deserialize, Serialize};
use supervision::Node;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The first bytes of all that is said.
const MAGIC: [u8; 4] = *b"MGL\n";
/// The versions of the links' protocol that this program talks.
pub(super) const VERSIONS: (u16, u16) = (1, 1);
/// The most bytes of a hello.
const BYTES: usize = 4096;

/// What a node says of itself. Later versions add fields at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The first and the last version of the protocol that it talks.
    pub(super) versions: (u16, u16),
    pub(super) node: Node,
    /// Which start of it ([`supervision::System::creation`]).
    pub(super) creation: u32,
    /// The version of its program.
    pub(super) program: String,
    /// The actor that takes batches.
    pub(super) gateway: u64,
    /// What batches for this link are to say.
    pub(super) token: u64,
    /// How much may be on its way there.
    pub(super) credit: Credit,
}

/// What the node that was connected to answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Welcome(Hello),
    /// Why not.
    Refused(String),
}

/// The bytes of one thing said: magic, length, and the value in postcard's format.
pub(super) fn encode<T: Serialize>(said: &T) -> Result<Vec<u8>, LinkError> {
    let body = postcard::to_allocvec(said).map_err(|error| LinkError::hello(&error))?;
    let length = u32::try_from(body.len()).map_err(|error| LinkError::hello(&error))?;
    Ok([&MAGIC[..], &length.to_be_bytes(), &body].concat())
}

pub(super) async fn say<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    said: &T,
) -> Result<(), LinkError> {
    stream.write_all(&encode(said)?).await?;
    stream.flush().await?;
    Ok(())
}

pub(super) async fn hear<T: for<'de> Deserialize<'de>>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, LinkError> {
    let mut magic = [0; 4];
    stream.read_exact(&mut magic).await?;
    if magic != MAGIC {
        return Err(LinkError::hello(&"it speaks another protocol"));
    }
    let length = stream.read_u32().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= BYTES);
    let Some(length) = length else { return Err(LinkError::hello(&"it says too much")) };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let (said, _later) =
        postcard::take_from_bytes(&body).map_err(|error| LinkError::hello(&error))?;
    Ok(said)
}

/// A node's name as a name of DNS, which certificates have: `a@example.org` is `a.example.org`.
pub(super) fn dns_name(node: Node) -> Result<ServerName<'static>, LinkError> {
    let name = node.name().replace('@', ".");
    ServerName::try_from(name).map_err(|_| LinkError::NoName(node))
}

impl Hello {
    /// Whether they have a version in common.
    pub(super) fn check_version(&self) -> Result<(), LinkError> {
        let (first, last) = self.versions;
        if first > VERSIONS.1 || last < VERSIONS.0 {
            return Err(LinkError::Version { theirs: self.versions, ours: VERSIONS });
        }
        Ok(())
    }

    /// Whether the certificate is that of this node.
    pub(super) fn check_name(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<(), LinkError> {
        let name = dns_name(self.node)?;
        let certificate = chain.and_then(<[_]>::first).ok_or(LinkError::NoCertificate)?;
        ParsedCertificate::try_from(certificate)
            .and_then(|certificate| verify_server_name(&certificate, &name))
            .map_err(|_| LinkError::Name { node: self.node, name: name.to_str().into_owned() })
    }
}
