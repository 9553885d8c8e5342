//! The records of application data and alerts in RFC 8448, sealed and opened, byte for byte. (It has no KeyUpdate.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Instant;
use support::{hex, opened, sealed};
use tls::record::{Opened, Records, Secrets13, Suite};

/// A trace: for the client and the server, the traffic secret, how many records came before (the server's ticket), what it
/// sends of data if it does, and its `close_notify`.
struct Trace {
    section: u8,
    sides: [Side; 2],
}

struct Side {
    secret: &'static str,
    before: u64,
    data: Option<&'static str>,
    alert: &'static str,
}

const TRACES: &[Trace] = &[
    Trace {
        section: 3,
        sides: [
            Side {
                secret: "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
                before: 0,
                data: Some(
                    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b6\
                     2974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
                ),
                alert: "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3",
            },
            Side {
                secret: "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
                before: 1,
                data: Some(
                    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8\
                     fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
                ),
                alert: "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9",
            },
        ],
    },
    Trace {
        section: 4,
        sides: [
            Side {
                secret: "2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1",
                before: 0,
                data: Some(
                    "1703030043b1cebce242aa201be9ae5e1cb2a9aa4b33d4e866af1edb068919237741aa031d7a74d491c99b9d4e232b74\
                     206bc6fbaa04fe78be44a9b4f54320a17eb76992afac3103",
                ),
                alert: "17030300130facce3246bdfc6369838d6a82ae6de5d422dc",
            },
            Side {
                secret: "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691",
                before: 0,
                data: Some(
                    "1703030043275e9f20acff57bc000657d3867df039cccf79047884cf75771746f740b5a83f462a0954c3581393a203a2\
                     5a7dd14141ef1a37900cdb62ff62dee1ba39ab2590cbf194",
                ),
                alert: "17030300135b18af444e8e1eec7158fb62d8f2577d37ba5d",
            },
        ],
    },
    Trace {
        section: 5,
        sides: [
            Side {
                secret: "75ecf4b972525aa0dcd057c9944d4cd5d82671d8843141d7dc2a4ff15a21dc51",
                before: 0,
                data: None,
                alert: "17030300132ea6cdf749196023e2b3a49491695536426047",
            },
            Side {
                secret: "5c74f87df04225db0f8209c9de6429e49435fdefa7cad61864874d12f31cfc8d",
                before: 0,
                data: None,
                alert: "1703030013519fc5075cb0884349759ff9ef6f011bb4c6f2",
            },
        ],
    },
    Trace {
        section: 6,
        sides: [
            Side {
                secret: "73c2e890fa8d067258d6d50fa92fe456b098cf00d9727eed91e8892ef4e6f860",
                before: 0,
                data: None,
                alert: "1703030013e4ad7d44c29245339d355962c779b89ef44c58",
            },
            Side {
                secret: "c49a91faf57f8c545d5048a015bf849ff63942e4a7edcd319f8b438a97c52e21",
                before: 0,
                data: None,
                alert: "17030300131decc5d6e64bba8a6f21b4fd077497da2a90cb",
            },
        ],
    },
];

fn end(of: &Side, peer: &Side) -> Records {
    let [ours, theirs] = [of, peer].map(|side| (hex(side.secret), side.before));
    let sending = Secrets13 { secret: &ours.0, seq: ours.1 };
    let receiving = Secrets13 { secret: &theirs.0, seq: theirs.1 };
    Records::tls13(Suite::Aes128Gcm, sending, receiving, Instant::now()).unwrap()
}

#[test]
fn records_are_those_of_rfc_8448() {
    let text: Vec<u8> = (0..50).collect();
    for Trace { section, sides: [client, server] } in TRACES {
        for (side, peer) in [(client, server), (server, client)] {
            let (mut sender, mut receiver) = (end(side, peer), end(peer, side));
            if let Some(data) = side.data {
                assert_eq!(sealed(&mut sender, &text), hex(data), "section {section}");
                assert_eq!(opened(&mut receiver, &hex(data)), Ok(Some(text.clone())));
            }
            let mut alert = Vec::new();
            sender.close(&mut alert);
            assert_eq!(alert, hex(side.alert), "section {section}");
            assert_eq!(receiver.open(&mut alert), Ok(Opened::Closed));
        }
    }
}
