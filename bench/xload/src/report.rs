//! The one JSON line that a command prints.

use serde_json::{Value, json};

use crate::args::Args;
use crate::ctx::Ctx;

pub fn merge(a: &mut Value, b: Value) {
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        for (k, v) in b {
            a.insert(k, v);
        }
    }
}

pub fn base(cx: &Ctx, a: &Args) -> Value {
    json!({
        "cmd": a.cmd, "label": cx.label,
        "tls": format!("{:?}", cx.tls).to_lowercase(), "mech": cx.mech.name(),
        "sasl2": format!("{:?}", cx.sasl2).to_lowercase(), "sm": cx.sm,
    })
}

/// print the result; true when the run is clean
pub fn finish(cx: &Ctx, mut v: Value) -> bool {
    let errs = cx.errors.borrow();
    let n: u64 = errs.values().sum();
    merge(
        &mut v,
        json!({"scram_cache_misses": cx.cache.misses.get(), "errors": n, "error_kinds": *errs, "ok": n == 0}),
    );
    println!("{v}");
    n == 0
}
