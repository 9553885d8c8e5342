//! How much memory there is, and how much of it the node has: what the limit of `limits.memory` is compared with
//! where the allocator does not say it better.

use rustix::param::page_size;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What may be used of what there is: the system keeps files of the store in the rest.
const PART: (usize, usize) = (3, 4);

/// Resident memory but pages of files (the program's own, which the system can read again), in bytes: of all allocators,
/// SQLite's too, and what they lose in between.
pub fn resident() -> Option<usize> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<usize>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    resident.checked_sub(shared)?.checked_mul(page_size())
}

/// The limit where none is configured: a part of what the machine or the control group has; 0 (none) where
/// nobody says how much that is.
pub(crate) fn default_limit() -> usize {
    part([machine(), group(Path::new("/"))])
}

/// 0 bytes say nothing: no process could be there to read it.
fn part(has: [Option<usize>; 2]) -> usize {
    let least = has.into_iter().flatten().filter(|bytes| *bytes > 0).min();
    least.map_or(0, |bytes| (bytes / PART.1 * PART.0).max(1))
}

fn machine() -> Option<usize> {
    total(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// See proc_meminfo(5).
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The least that the node's control group (version 2 or 1) and those around it allow; "max", or a number beyond all
/// memory: no limit.
fn group(root: &Path) -> Option<usize> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            v1 if v1.split(',').any(|c| c == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mount = root.join(mount);
        // within a container its own group may be the root
        let own: PathBuf = mount.join(path);
        limits.extend(own.ancestors().take_while(|dir| dir.starts_with(&mount)).filter_map(
            |dir| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<usize>().ok(),
        ));
    }
    limits.into_iter().filter(|bytes| *bytes > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_less_than_there_is() {
        // this alone is in memory whatever others of this process do meanwhile
        let much = std::hint::black_box(vec![1_u8; 64 << 20]);
        let (used, limit) = (resident().unwrap(), default_limit());
        assert!(used > much.len() / 2, "{used}");
        assert!(used < limit && limit <= machine().unwrap() / 4 * 3, "{used}, {limit}");
    }

    #[test]
    fn the_machine_s_memory_is_read_as_the_manual_says() {
        assert_eq!(total("MemTotal:        1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn a_limit_of_nothing_is_none_but_not_no_limit() {
        let cases = [
            ([Some(8_000), Some(0)], 6_000),
            ([Some(0), Some(400)], 300),
            ([None, Some(2)], 1),
            ([Some(0), Some(0)], 0),
            ([None, None], 0),
        ];
        for (has, limit) in cases {
            assert_eq!(part(has), limit, "{has:?}");
        }
    }

    #[test]
    fn the_strictest_control_group_counts() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let write = |file: &str, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(group(root), None);
        write("proc/self/cgroup", "0::/system.slice/mangrove.service\n");
        assert_eq!(group(root), None);
        write("sys/fs/cgroup/system.slice/mangrove.service/memory.max", "max\n");
        assert_eq!(group(root), None);
        write("sys/fs/cgroup/system.slice/memory.max", "3000\n");
        assert_eq!(group(root), Some(3000));
        write("sys/fs/cgroup/system.slice/mangrove.service/memory.max", "0\n");
        assert_eq!(group(root), Some(3000), "the next one says it");
        write("sys/fs/cgroup/system.slice/mangrove.service/memory.max", "2000\n");
        assert_eq!(group(root), Some(2000));
        write("proc/self/cgroup", "4:cpu:/\n3:memory:/docker/x\n0::/\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
        assert_eq!(group(root), Some(1000));
    }
}
