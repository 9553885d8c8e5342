//! Stream limits advertisement (XEP-0478).

use crate::ns;

/// Appends the stream feature: largest element in bytes, and after how many seconds of silence a
/// peer is pinged or dropped (0: never).
pub fn render(out: &mut Vec<u8>, max_bytes: usize, idle_seconds: u64) {
    let idle = match idle_seconds {
        0 => String::new(),
        n => format!("<idle-seconds>{n}</idle-seconds>"),
    };
    let ns = ns::STREAM_LIMITS;
    out.extend_from_slice(
        format!("<limits xmlns='{ns}'><max-bytes>{max_bytes}</max-bytes>{idle}</limits>")
            .as_bytes(),
    );
}
