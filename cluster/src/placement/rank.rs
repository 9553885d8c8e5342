//! Rendezvous hashing (highest random weight, Thaler and Ravishankar 1998): every node computes who owns a key, and asks nobody. When a
//! node comes or goes, only keys move that are its own.

use supervision::Node;

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// The finaliser of `MurmurHash3`: each bit of the input changes half of the output's.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The weight of a node for a key: the same on every machine, and in every version of the program.
pub fn weight(key: &str, node: &str) -> u64 {
    mixed(fnv(key.as_bytes()) ^ mixed(fnv(node.as_bytes())))
}

/// Whether `one` comes before `other` for that key. Of two with one weight, the name decides.
pub fn outranks(key: &str, one: Node, other: Node) -> bool {
    let rank = |name: &str| weight(key, name);
    let (one, other) = (one.name(), other.name());
    (rank(&one), &one) > (rank(&other), &other)
}

/// Which of these nodes owns that key; `None`: there are none.
pub fn owner(key: &str, nodes: impl IntoIterator<Item = Node>) -> Option<Node> {
    nodes.into_iter().reduce(|best, node| if outranks(key, node, best) { node } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<Node> {
        (0..count).map(|n| Node::new(&format!("rank{n}@host")).unwrap()).collect()
    }

    fn owners(nodes: &[Node]) -> Vec<Node> {
        let owner = |n| owner(&format!("room{n}@example"), nodes.iter().copied()).unwrap();
        (0..10_000).map(owner).collect()
    }

    #[test]
    fn what_it_is_does_not_change() {
        // other nodes may be of another version, and of another machine
        assert_eq!(weight("room@example", "a@host"), 0x1843_e06b_6e85_452b);
        assert_eq!(owner("room", []), None);
    }

    #[test]
    fn each_node_has_its_share() {
        for count in 1..=10 {
            let (all, owners) = (nodes(count), owners(&nodes(count)));
            let share = 10_000 / count;
            for node in all {
                let has = owners.iter().filter(|owner| **owner == node).count();
                assert!(has * 10 > share * 9 && has * 10 < share * 11, "{has} of {share}");
            }
        }
    }

    #[test]
    fn when_a_node_comes_only_its_share_moves_and_only_to_it() {
        for count in 1..10 {
            let (all, before) = (nodes(count + 1), owners(&nodes(count)));
            let after = owners(&all);
            let moved: Vec<_> =
                before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            assert!(moved.iter().all(|(_, after)| **after == all[count]));
            let share = 10_000 / (count + 1);
            assert!(moved.len() * 10 < share * 11, "{} moved, a share is {share}", moved.len());
        }
    }
}
