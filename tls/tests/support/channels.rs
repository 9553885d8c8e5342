//! What tests of a server's end do with it.

use std::time::Instant;
use tls::{Channel, FrozenChannel, Got, TlsError};

/// What a server reads, and whether the client has closed.
pub fn read(channel: &mut Channel, wire: &[u8]) -> Result<(Vec<u8>, bool), TlsError> {
    let mut plain = Vec::new();
    let sink = |got: Got<'_>| {
        if let Got::Bytes(bytes) = got {
            plain.extend_from_slice(bytes);
        }
    };
    let closed = channel.read(&mut wire.to_vec(), Instant::now(), sink)?;
    Ok((plain, closed))
}

/// As another process goes on with it.
pub fn moved(channel: Channel) -> Channel {
    let now = Instant::now();
    let frozen = serde_json::to_string(&channel.freeze(now).unwrap()).unwrap();
    let frozen: FrozenChannel = serde_json::from_str(&frozen).unwrap();
    Channel::thaw(frozen, now).unwrap()
}
