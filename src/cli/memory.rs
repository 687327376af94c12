//! Memory that training frees and asks for again in every step.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc's variable of settings, which it reads when a program starts.
const VARIABLE: &str = "GLIBC_TUNABLES";
/// Blocks up to 4 GiB come from the heap, and up to 16 GiB of it are kept when they are free. By default glibc gives large
/// blocks back to the system, which clears each page of them anew: that took a third of a small net's training time.
const SETTINGS: &str =
    "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184";
/// Heaps for each core. glibc makes up to eight, of which each keeps what others could use: memory grew with the steps of training.
const HEAPS_A_CORE: usize = 2;

/// Starts this program once more, in this process's place, with a heap that keeps what is freed. Settings that the user has
/// made are left as they are. Where it cannot be done the program goes on, only slower.
pub(super) fn keep_freed_memory() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        return;
    }
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let mut command = Command::new(program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = format!("{SETTINGS}:glibc.malloc.arena_max={}", HEAPS_A_CORE * cores);
        let error = command.args(arguments).env(VARIABLE, settings).exec();
        tracing::debug!(%error, "freed memory is not kept");
    }
}
