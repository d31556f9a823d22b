//! What the machine offers: instruction sets, and how many CPUs this process may use.

use core::ffi::c_void;

use crate::libc;
use crate::message::Message;

/// Adds the names of the required features that the machine lacks; true if it has all.
pub fn check_features(required: u64, message: &mut Message) -> bool {
    let missing = required & !available();
    if missing == 0 {
        return true;
    }
    message.text("this machine lacks instructions that the library was compiled for:");
    for (name, bit) in pt2c_abi::cpu::FEATURES {
        if missing & bit != 0 {
            message.text(" ").text(name);
        }
    }
    false
}

/// The features of [`pt2c_abi::cpu`] that processor and operating system both support.
#[cfg(target_arch = "x86_64")]
fn available() -> u64 {
    use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

    let zero = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    let (highest, highest_extended) = (__cpuid(0).eax, __cpuid(0x8000_0000).eax);
    let leaf1 = __cpuid(1);
    let leaf7 = if highest >= 7 { __cpuid_count(7, 0) } else { zero };
    let leaf7_1 = if leaf7.eax >= 1 { __cpuid_count(7, 1) } else { zero };
    let extended = if highest_extended >= 0x8000_0001 { __cpuid(0x8000_0001) } else { zero };
    // The operating system must save the wide registers: bits of XCR0 (1-2: AVX, 5-7: AVX-512, 17-18: AMX).
    let saved = if leaf1.ecx >> 27 & 1 == 1 { xcr0() } else { 0 };
    let avx = saved & 0x6 == 0x6;
    let avx512 = saved & 0xe6 == 0xe6;
    let amx = saved & 0x6_0000 == 0x6_0000;
    let has = |register: u32, bit: u32| register >> bit & 1 == 1;
    let table = [
        ("sse3", has(leaf1.ecx, 0)),
        ("ssse3", has(leaf1.ecx, 9)),
        ("sse4.1", has(leaf1.ecx, 19)),
        ("sse4.2", has(leaf1.ecx, 20)),
        ("popcnt", has(leaf1.ecx, 23)),
        ("movbe", has(leaf1.ecx, 22)),
        ("lzcnt", has(extended.ecx, 5)),
        ("bmi", has(leaf7.ebx, 3)),
        ("bmi2", has(leaf7.ebx, 8)),
        ("avx", avx && has(leaf1.ecx, 28)),
        ("fma", avx && has(leaf1.ecx, 12)),
        ("f16c", avx && has(leaf1.ecx, 29)),
        ("avx2", avx && has(leaf7.ebx, 5)),
        ("avxvnni", avx && has(leaf7_1.eax, 4)),
        ("avx512f", avx512 && has(leaf7.ebx, 16)),
        ("avx512dq", avx512 && has(leaf7.ebx, 17)),
        ("avx512cd", avx512 && has(leaf7.ebx, 28)),
        ("avx512bw", avx512 && has(leaf7.ebx, 30)),
        ("avx512vl", avx512 && has(leaf7.ebx, 31)),
        ("avx512vbmi", avx512 && has(leaf7.ecx, 1)),
        ("avx512vnni", avx512 && has(leaf7.ecx, 11)),
        ("avx512bf16", avx512 && has(leaf7_1.eax, 5)),
        ("avx512fp16", avx512 && has(leaf7.edx, 23)),
        ("amx-bf16", amx && has(leaf7.edx, 22)),
        ("amx-tile", amx && has(leaf7.edx, 24)),
        ("amx-int8", amx && has(leaf7.edx, 25)),
    ];
    table
        .iter()
        .filter(|(_, present)| *present)
        .filter_map(|(name, _)| pt2c_abi::cpu::feature_bit(name))
        .fold(0, |bits, bit| bits | bit)
}

/// Which registers the operating system saves.
#[cfg(target_arch = "x86_64")]
fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller has seen the OSXSAVE bit, so the instruction exists and may be used.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(not(target_arch = "x86_64"))]
fn available() -> u64 {
    0
}

/// How many CPUs the process may use: its affinity mask, cut by the quota of its control group. At least 1.
pub fn usable_cpus() -> usize {
    let mut mask = [0u64; 128];
    // SAFETY: the mask is as long as stated.
    let bytes = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast::<c_void>()) };
    let cpus = if bytes < 0 { 1 } else { mask.iter().map(|word| word.count_ones() as usize).sum() };
    cgroup_quota().map_or(cpus, |quota| cpus.min(quota)).max(1)
}

/// CPUs that the control group's quota amounts to, rounded up; `None` without a quota.
fn cgroup_quota() -> Option<usize> {
    let mut buffer = [0u8; 4096];
    // Version 2: the group's folder is in the line `0::/path` of /proc/self/cgroup, and any group above may have a
    // quota as well. Inside a container the folder is usually the mount's root.
    let mut best: Option<usize> = None;
    let mut consider = |quota: Option<usize>| best = [best, quota].into_iter().flatten().min();
    let mut text = [0u8; 256];
    consider(read(c"/sys/fs/cgroup/cpu.max".to_bytes_with_nul(), &mut text).and_then(quota_v2));
    if let Some(lines) = read(c"/proc/self/cgroup".to_bytes_with_nul(), &mut buffer) {
        let path = lines.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"));
        let mut group = path.unwrap_or(b"");
        while group.len() > 1 {
            consider(read_joined(b"/sys/fs/cgroup", group, b"/cpu.max\0", &mut text).and_then(quota_v2));
            let parent = group.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            group = group.get(..parent).unwrap_or(b"");
        }
    }
    // Version 1.
    let mut period_text = [0u8; 64];
    let quota = read(c"/sys/fs/cgroup/cpu/cpu.cfs_quota_us".to_bytes_with_nul(), &mut text).and_then(number);
    let period = read(c"/sys/fs/cgroup/cpu/cpu.cfs_period_us".to_bytes_with_nul(), &mut period_text).and_then(number);
    consider(quota.zip(period).and_then(|(quota, period)| divide(quota, period)));
    best
}

/// `QUOTA PERIOD` or `max PERIOD`.
fn quota_v2(text: &[u8]) -> Option<usize> {
    let mut parts = text.split(|byte| byte.is_ascii_whitespace());
    divide(number(parts.next()?)?, number(parts.next()?)?)
}

fn divide(quota: u64, period: u64) -> Option<usize> {
    if period == 0 { None } else { Some(quota.div_ceil(period) as usize) }
}

/// A decimal number at the start of the text; `None` for `max` and `-1`.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let mut value = None;
    for &digit in digits {
        value = Some(value.unwrap_or(0u64).checked_mul(10)?.checked_add(u64::from(digit - b'0'))?);
    }
    value
}

fn read_joined<'a>(root: &[u8], group: &[u8], file: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut path = [0u8; 1024];
    let mut slots = path.iter_mut();
    for &byte in root.iter().chain(group).chain(file) {
        *slots.next()? = byte;
    }
    read(&path, buffer)
}

/// The first bytes of a file; the path ends in a zero byte.
fn read<'a>(path: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the path is zero-terminated, the buffer is as long as stated, the file is closed once.
    let count = unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let count = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        count
    };
    buffer.get(..usize::try_from(count).ok()?)
}
