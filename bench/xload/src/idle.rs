//! N connections that do nothing: memory per connection.
use crate::R;
use crate::args::Args;
use crate::ctx::Ctx;
use crate::login::{close_all, logon_all};
use crate::procstat::{mem, snap, tcp_mem};
use crate::report::{base, finish, merge};
use crate::stats::{r2, r4};
use serde_json::json;
use std::rc::Rc;
use std::time::{Duration, Instant};

fn lock(path: &str) -> R<std::fs::File> {
    let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let f = open.map_err(|e| format!("{path}: {e}"))?;
    f.lock().map_err(|e| format!("{path}: {e}"))?;
    Ok(f)
}

pub async fn run(cx: Rc<Ctx>, a: &Args) -> R<bool> {
    let n: usize = a.num("conns", 2000);
    let conc: usize = a.num("conc", 64);
    let quiet: Vec<f64> = a.str("quiet", "10").split(',').filter_map(|s| s.parse().ok()).collect();
    let presence = !a.flag("no-presence");
    let lock_path = a.opt("lock");
    a.check()?;
    if n > cx.users {
        return Err("--users must be at least --conns".into());
    }
    crate::sys::need_files(n)?;
    // the load is made under the lock; the quiet time costs nobody anything, so it is not
    let l = match &lock_path {
        Some(p) => Some(lock(p)?),
        None => None,
    };
    let m0 = mem(&cx.pids);
    let k0 = tcp_mem();
    let s0 = snap(&cx.pids);
    let conns = logon_all(&cx, n, conc, "idle", presence).await?;
    let d = snap(&cx.pids).since(&s0);
    let peak = mem(&cx.pids);
    drop(l);
    let t = Instant::now();
    let per = |x: i64| (x as f64 / n as f64).round() as i64;
    let mut at = vec![];
    for q in &quiet {
        let left = q - t.elapsed().as_secs_f64();
        let c0 = snap(&cx.pids);
        if left > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(left)).await;
        }
        let c = snap(&cx.pids).since(&c0);
        let m = mem(&cx.pids);
        let by: serde_json::Map<String, serde_json::Value> = m
            .per
            .iter()
            .map(|(p, nm, x)| {
                let b = m0.per.iter().find(|y| y.0 == *p).map(|y| y.2).unwrap_or(0);
                (nm.clone(), json!(per(x - b)))
            })
            .filter(|x| x.1 != json!(0))
            .collect();
        at.push(json!({"after_s": q, "pss_mb": r2(m.pss as f64 / 1048576.0), "rss_mb": r2(m.rss as f64 / 1048576.0),
            "bytes_per_conn_pss": per(m.pss - m0.pss), "bytes_per_conn_rss": per(m.rss - m0.rss), "bytes_per_conn_by_name": by,
            "server_cpu_pct_while_idle": r4(c.srv / c.wall.max(0.001) * 100.0)}));
    }
    // what comes back when they leave
    let l = match &lock_path {
        Some(p) => Some(lock(p)?),
        None => None,
    };
    close_all(&cx, conns).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(l);
    let end = mem(&cx.pids);
    let mut v = base(&cx, a);
    merge(
        &mut v,
        json!({
            "conns": n, "presence": presence, "logins_per_s": r2(n as f64 / d.wall), "server_cpu_ms_per_login": r4(d.srv * 1e3 / n as f64),
            "pss_before_mb": r2(m0.pss as f64 / 1048576.0), "bytes_per_conn_pss_at_open": per(peak.pss - m0.pss), "quiet": at,
            "kernel_tcp_bytes_per_conn": per(tcp_mem().max(k0) - k0), "pss_after_close_mb": r2(end.pss as f64 / 1048576.0),
        }),
    );
    merge(&mut v, d.json(&cx.pids));
    Ok(finish(&cx, v))
}
