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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn hello() -> Hello {
        Hello {
            versions: (1, 1),
            node: Node::new("a@example.org").unwrap(),
            creation: 0x0102_0304,
            program: "0.1.0".to_owned(),
            gateway: 7,
            token: u64::MAX,
            credit: Credit::default(),
        }
    }

    async fn is_kept<T>(file: &str, said: &T)
    where
        T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
    {
        let kept = fs::read(Path::new("tests/wire/v1").join(file)).unwrap();
        assert_eq!(encode(said).unwrap(), kept, "{file}");
        assert_eq!(&hear::<T>(&mut &*kept).await.unwrap(), said);
    }

    /// What nodes of the first version say is understood for ever.
    #[tokio::test]
    async fn what_version_1_says_stays() {
        is_kept("hello.bin", &hello()).await;
        is_kept("welcome.bin", &Answer::Welcome(hello())).await;
        is_kept("refused.bin", &Answer::Refused("no".to_owned())).await;
    }

    #[tokio::test]
    async fn what_is_later_or_wrong_is_told_from_what_is_known() {
        // a later version says more
        let mut later = encode(&hello()).unwrap();
        later.extend_from_slice(b"more");
        later[7] += 4;
        assert_eq!(hear::<Hello>(&mut &*later).await.unwrap(), hello());
        let mut other = Hello { versions: (2, 3), ..hello() };
        let why = other.check_version().unwrap_err().to_string();
        assert_eq!(why, "the node talks versions 2 to 3 of the protocol, this one 1 to 1");
        other.versions = (1, 3);
        assert!(other.check_version().is_ok());
        for (bytes, why) in [
            (&b"HTTP/1.1 400"[..], "another protocol"),
            (b"MGL\n\xff\xff\xff\xff", "too much"),
            (b"MGL\n\0\0\0\x02\x01\x01", "not understood"),
            (b"MGL\n\0\0\0\x02\x01", "end of file"),
        ] {
            let error = hear::<Hello>(&mut &*bytes).await.unwrap_err().to_string();
            assert!(error.contains(why) || error.contains("eof"), "{why}: {error}");
        }
    }
}
