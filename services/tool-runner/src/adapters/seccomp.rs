//! Which system calls code in the sandbox may make: all but those that reach for the
//! kernel itself, for other processes, or for a namespace of one's own.
//!
//! Numbers by name are libc's; the filters are programs for the kernel's BPF
//! (<https://docs.kernel.org/userspace-api/seccomp_filter.html>).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// Those that are refused whatever they are given.
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_personality,
];

/// Flags of `clone` that make a namespace.
const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// Families of sockets that code may have: its own machine's and the network's, which are those of
/// its namespace, and the kernel's own word on them. Others, such as those of a virtual machine's host
/// (vsock), are not told apart by namespaces.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The filters, as the kernel reads them; the error says why there are none.
pub(super) fn filters() -> Result<Vec<Vec<u8>>, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|err| err.to_string())?;
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // One rule for each flag: any of them is refused.
    let flags = (0..64).map(|bit| 1u64 << bit).filter(|bit| NAMESPACES & bit != 0);
    let rules = flags.map(|flag| {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)
            .map_err(|err| err.to_string())?;
        SeccompRule::new(vec![condition]).map_err(|err| err.to_string())
    });
    refused.insert(libc::SYS_clone, rules.collect::<Result<_, String>>()?);
    let no_other = FAMILIES.map(|family| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))
    });
    let no_other = no_other.into_iter().collect::<Result<Vec<_>, _>>().map_err(|err| err.to_string())?;
    let no_other = SeccompRule::new(no_other).map_err(|err| err.to_string())?;
    refused.insert(libc::SYS_socket, vec![no_other.clone()]);
    refused.insert(libc::SYS_socketpair, vec![no_other]);
    // What it is given stands in memory, where no filter can look: libraries fall back to clone.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let by_number = [(refused, libc::EPERM), (absent, libc::ENOSYS)].into_iter().map(|(rules, errno)| {
        let errno = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).map_err(|err| err.to_string())?;
        let program = BpfProgram::try_from(filter).map_err(|err| err.to_string())?;
        Ok(bytes(&program))
    });
    by_number.chain([Ok(bytes(&ANOTHER_TABLE))]).collect()
}

/// The bit of a number that names the second table of system calls of x86-64 (x32), in which the
/// same calls have numbers that no list of the first table knows. No other machine has such numbers.
const X32_BIT: u32 = 0x4000_0000;

/// Refuses every call by that table: it begins with the number, the first word of what a filter
/// is given (`struct seccomp_data`).
const ANOTHER_TABLE: [sock_filter; 4] = [
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
    instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32_BIT),
    instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
    instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
];

/// One instruction that goes on with the next, or, where its comparison fails, skips `jf`.
const fn instruction(code: u32, jf: u8, k: u32) -> sock_filter {
    // Codes of classic BPF have eight bits.
    sock_filter { code: code as u16, jt: 0, jf, k }
}

/// A program as the kernel's `struct sock_filter` lays it out.
fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let instruction = |filter: &sock_filter| {
        let mut bytes = Vec::with_capacity(8);
        bytes.extend(filter.code.to_ne_bytes());
        bytes.extend([filter.jt, filter.jf]);
        bytes.extend(filter.k.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_whole_instructions_that_the_kernel_takes() {
        for filter in filters().unwrap() {
            assert!(filter.len() > 8 && filter.len().is_multiple_of(8) && filter.len() / 8 <= 4096, "{}", filter.len());
        }
    }
}
