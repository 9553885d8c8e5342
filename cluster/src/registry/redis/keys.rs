//! How keys are called. A user's bucket is the hash tag of all that a script touches for that user: one slot of a Redis Cluster.

/// How many buckets there are: fixed for ever, since keys are named after them.
pub(super) const BUCKETS: u16 = 1024;

/// Names of keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
}

/// The bucket of a user: FNV-1a, the same in every program.
pub(super) fn bucket(user: &str) -> u16 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = user.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    u16::try_from(hash % u64::from(BUCKETS)).unwrap_or_default()
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    fn of(&self, kind: char, bucket: u16, rest: &str) -> String {
        format!("{kind}:{{{}:{bucket}}}:{rest}", self.prefix)
    }

    /// Hash of a user: resource to record.
    pub(super) fn user(&self, bucket: u16, user: &str) -> String {
        self.of('s', bucket, user)
    }

    /// Which session of a user has a turn: its token.
    pub(super) fn turn(&self, bucket: u16, user: &str) -> String {
        self.of('t', bucket, user)
    }

    /// Set of the records of a node in a bucket.
    pub(super) fn index(&self, bucket: u16, node: &str) -> String {
        self.of('n', bucket, node)
    }

    /// Hash of a bucket: the epoch it belongs to, and the starts of nodes that were swept out of it.
    pub(super) fn marks(&self, bucket: u16) -> String {
        format!("e:{{{}:{bucket}}}", self.prefix)
    }

    /// Hash of all leases: name of a node to its last.
    pub(super) fn leases(&self) -> String {
        format!("l:{{{}}}", self.prefix)
    }

    /// Hash with the epoch and when it was made.
    pub(super) fn control(&self) -> String {
        format!("c:{{{}}}", self.prefix)
    }

    /// Who makes a new epoch.
    pub(super) fn maker(&self) -> String {
        format!("m:{{{}}}", self.prefix)
    }

    /// The user whose hash it is.
    pub(super) fn user_of<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        let key = std::str::from_utf8(key).ok()?.strip_prefix("s:{")?;
        let key = key.strip_prefix(&*self.prefix)?.strip_prefix(':')?;
        Some(key.split_once("}:")?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_user() {
        let keys = Keys::new("c");
        for user in ["a@x", "}:b{", "ä"] {
            let key = keys.user(bucket(user), user);
            assert_eq!(keys.user_of(key.as_bytes()), Some(user));
        }
        assert_eq!(keys.user_of(keys.index(1, "n").as_bytes()), None);
        assert_eq!(Keys::new("d").user_of(keys.user(1, "a").as_bytes()), None);
    }

    #[test]
    fn buckets_stay_what_they_are() {
        // the hashes of the empty text and of "foobar" as FNV's authors give them
        assert_eq!(bucket(""), u16::try_from(0xcbf2_9ce4_8422_2325_u64 % 1024).unwrap());
        assert_eq!(bucket("foobar"), u16::try_from(0x8594_4171_f739_67e8_u64 % 1024).unwrap());
    }
}
