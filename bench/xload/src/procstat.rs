//! CPU and memory of the server's processes (children included), of this process, and of the whole machine.
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;

use crate::sys::{self_cpu, ticks_per_second};

/// The fields of /proc/PID/stat after the command's name (which may hold spaces and parentheses): state, parent ...
fn stat(pid: i32) -> Option<Vec<String>> {
    let s = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = s.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn parents() -> HashMap<i32, i32> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|s| s.parse().ok());
        let parent = pid.and_then(stat).and_then(|f| f.get(1)?.parse().ok());
        if let (Some(pid), Some(parent)) = (pid, parent) {
            parents.insert(pid, parent);
        }
    }
    parents
}

/// The roots that are alive and all their descendants.
pub fn tree(roots: &[i32]) -> Vec<i32> {
    let pp = parents();
    let mut out: Vec<i32> = roots.iter().copied().filter(|p| pp.contains_key(p)).collect();
    loop {
        let mut more = vec![];
        for (p, q) in &pp {
            if out.contains(q) && !out.contains(p) {
                more.push(*p);
            }
        }
        if more.is_empty() {
            break;
        }
        out.extend(more);
    }
    out.sort();
    out
}

/// (user, system) seconds: the process itself plus its children that were waited for
fn cpu_of(pid: i32) -> Option<(f64, f64)> {
    let f = stat(pid)?;
    let g = |i: usize| f.get(i).and_then(|x| x.parse().ok()).unwrap_or(0.0) / ticks_per_second();
    Some((g(11) + g(13), g(12) + g(14)))
}

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_string()
}

#[derive(Clone, Default)]
pub struct Cpu {
    pub user: f64,
    pub sys: f64,
    pub per: Vec<(i32, String, f64)>,
}

pub fn cpu(roots: &[i32]) -> Cpu {
    let mut c = Cpu::default();
    for p in tree(roots) {
        if let Some((u, s)) = cpu_of(p) {
            c.user += u;
            c.sys += s;
            c.per.push((p, comm(p), u + s));
        }
    }
    c
}

#[derive(Clone, Default)]
pub struct Mem {
    pub rss: i64,
    pub pss: i64,
    pub private: i64,
    pub peak: i64,
    pub per: Vec<(i32, String, i64)>,
}

pub fn mem(roots: &[i32]) -> Mem {
    let mut m = Mem::default();
    for p in tree(roots) {
        let mut pss = 0;
        if let Ok(s) = fs::read_to_string(format!("/proc/{p}/smaps_rollup")) {
            for l in s.lines() {
                let kb = |l: &str| {
                    l.split_whitespace().nth(1).and_then(|x| x.parse::<i64>().ok()).unwrap_or(0)
                        * 1024
                };
                if l.starts_with("Rss:") {
                    m.rss += kb(l);
                } else if l.starts_with("Pss:") {
                    pss = kb(l);
                    m.pss += pss;
                } else if l.starts_with("Private_Clean:") || l.starts_with("Private_Dirty:") {
                    m.private += kb(l);
                }
            }
        }
        if let Ok(s) = fs::read_to_string(format!("/proc/{p}/status")) {
            for l in s.lines() {
                if l.starts_with("VmHWM:") {
                    m.peak += l
                        .split_whitespace()
                        .nth(1)
                        .and_then(|x| x.parse::<i64>().ok())
                        .unwrap_or(0)
                        * 1024;
                }
            }
        }
        m.per.push((p, comm(p), pss));
    }
    m
}

/// pages the kernel holds for TCP buffers (all of the machine), bytes
pub fn tcp_mem() -> i64 {
    fs::read_to_string("/proc/net/sockstat")
        .ok()
        .and_then(|s| {
            s.lines().find(|l| l.starts_with("TCP:")).and_then(|l| {
                let v: Vec<&str> = l.split_whitespace().collect();
                v.iter()
                    .position(|x| *x == "mem")
                    .and_then(|i| v.get(i + 1))
                    .and_then(|x| x.parse::<i64>().ok())
            })
        })
        .unwrap_or(0)
        * 4096
}

/// (busy, steal) seconds summed over all CPUs
fn machine() -> (f64, f64) {
    let s = fs::read_to_string("/proc/stat").unwrap_or_default();
    let v: Vec<f64> = s
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .map(|x| x.parse().unwrap_or(0.0))
        .collect();
    if v.len() < 8 {
        return (0.0, 0.0);
    }
    ((v[0] + v[1] + v[2] + v[5] + v[6]) / ticks_per_second(), v[7] / ticks_per_second())
}

/// a point in time; `since` gives what happened between two of them
#[derive(Clone)]
pub struct Snap {
    pub at: std::time::Instant,
    pub srv: Cpu,
    pub generator: f64,
    mach: (f64, f64),
}

pub fn snap(roots: &[i32]) -> Snap {
    Snap { at: std::time::Instant::now(), srv: cpu(roots), generator: self_cpu(), mach: machine() }
}

pub struct Delta {
    pub spin_us: f64,
    pub wall: f64,
    pub srv: f64,
    pub srv_user: f64,
    pub srv_sys: f64,
    pub generator: f64,
    pub other: f64,
    pub steal: f64,
    pub per: Vec<(String, f64)>,
}

impl Snap {
    pub fn since(&self, a: &Snap) -> Delta {
        let mut per: Vec<(String, f64)> = vec![];
        for (p, n, c) in &self.srv.per {
            let b = a.srv.per.iter().find(|x| x.0 == *p).map(|x| x.2).unwrap_or(0.0);
            match per.iter_mut().find(|x| x.0 == *n) {
                Some(e) => e.1 += c - b,
                None => per.push((n.clone(), c - b)),
            }
        }
        let (u, s) = (self.srv.user - a.srv.user, self.srv.sys - a.srv.sys);
        let generator = self.generator - a.generator;
        Delta {
            spin_us: 0.0,
            wall: (self.at - a.at).as_secs_f64(),
            srv: u + s,
            srv_user: u,
            srv_sys: s,
            generator,
            other: (self.mach.0 - a.mach.0 - u - s - generator).max(0.0),
            steal: self.mach.1 - a.mach.1,
            per,
        }
    }
}

fn r(x: f64, d: i32) -> f64 {
    let p = 10f64.powi(d);
    (x * p).round() / p
}

impl Delta {
    pub fn json(&self, roots: &[i32]) -> Value {
        let m = mem(roots);
        let per: serde_json::Map<String, Value> = self
            .per
            .iter()
            .filter(|x| x.1 > 0.005)
            .map(|x| (x.0.clone(), json!(r(x.1, 2))))
            .collect();
        json!({
            "wall_s": r(self.wall, 3),
            "server_cpu_s": r(self.srv, 2), "server_user_s": r(self.srv_user, 2), "server_sys_s": r(self.srv_sys, 2),
            "server_cpu_by_name": per,
            "server_rss_mb": r(m.rss as f64 / 1048576.0, 1), "server_pss_mb": r(m.pss as f64 / 1048576.0, 1),
            "server_peak_rss_mb": r(m.peak as f64 / 1048576.0, 1),
            "gen_cpu_s": r(self.generator, 2), "spin_us": r(self.spin_us, 1), "other_cpu_s": r(self.other, 2), "steal_s": r(self.steal, 2),
        })
    }
}
