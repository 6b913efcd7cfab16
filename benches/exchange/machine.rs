//! What the figures were taken on, and numbers that the environment sets.

use std::fs;
use std::path::Path;

/// The processor, and whether it can do what RSA is fastest by.
pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().unwrap().trim() == name);
        line.and_then(|line| line.split_once(": ")).map_or("?", |(_, value)| value)
    };
    let has = |flag: &str| {
        let is_there = field("flags").split(' ').any(|one| one == flag);
        format!("{flag} {}", if is_there { "yes" } else { "no" })
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    format!(
        "{}, family {}, model {}, {} cores; {}, {}, {}; load at the start {}",
        field("model name"),
        field("cpu family"),
        field("model"),
        cpu.lines().filter(|line| line.starts_with("processor")).count(),
        has("avx2"),
        has("avx512f"),
        has("avx512ifma"),
        load.split(' ').next().unwrap(),
    )
}

/// A number of the environment, or the usual one.
pub fn told(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// A line of `/proc/…/status`, in MiB.
#[allow(clippy::cast_precision_loss, reason = "nobody has so much memory")]
pub fn memory(process: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|each| each.strip_prefix(line));
    let kib: u64 = kib.unwrap().trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap();
    kib as f64 / 1024.0
}

/// In MiB.
#[allow(clippy::cast_precision_loss, reason = "no program is so large")]
pub fn size(file: &Path) -> f64 {
    fs::metadata(file).unwrap().len() as f64 / f64::from(1 << 20)
}
