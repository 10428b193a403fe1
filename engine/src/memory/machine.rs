//! How much memory this machine lets a process have.

/// Bytes of main memory, or of the share that a container has; none where the system does not say.
#[must_use]
pub fn machine_bytes() -> Option<u64> {
    let installed = of_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    // In a container the limit of its own group is what ends a process; a group below the root is not seen.
    let share = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let share = share.and_then(|text| text.trim().parse::<u64>().ok());
    Some(share.map_or(installed, |share| share.min(installed)))
}

fn of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::of_meminfo;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "MemTotal:       24585104 kB\nMemFree:         1234 kB\n";
        assert_eq!(of_meminfo(text), Some(24_585_104 * 1024));
        assert_eq!(of_meminfo("MemTotal: much"), None);
        assert_eq!(of_meminfo(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_some() {
        assert!(super::machine_bytes().is_some_and(|bytes| bytes > 1 << 26));
    }
}
