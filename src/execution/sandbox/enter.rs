//! Where a Python interpreter and what it runs are shut in.
//!
//! A worker of the CPython executor begins as this program (`espalier code-worker sandbox`), alone and with one thread. It takes new
//! mount, process, network, IPC and host name namespaces (and a user namespace, without which an ordinary user may not), and builds
//! a root of the interpreter and its libraries, read-only, with an empty scratch folder. It gives up being root, limits the number
//! of processes, forbids system calls that computing does not need, and starts the interpreter as the first process of its
//! process namespace: when that ends, the kernel ends all others. Nothing here needs another program or more than safe Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, sethostname, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use super::{limits, python_calls, root};

/// `nobody`, whom root becomes.
const NOBODY: u32 = 65_534;

/// What is shut in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Sandbox {
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    /// Folders and files that are visible, read-only.
    pub roots: Vec<PathBuf>,
    /// Most processes and threads at once.
    pub processes: u64,
}

impl Sandbox {
    /// The command that enters the sandbox.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["code-worker", "sandbox"]);
        command.arg(serde_json::to_string(self).unwrap_or_default());
        command
    }

    /// What runs in it, without it.
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        // The same seeds, one thread a library, and no secret of this program's environment.
        command.args(&self.arguments).env_clear().envs([
            ("PYTHONHASHSEED", "0"),
            ("LC_ALL", "C.UTF-8"),
            ("HOME", "/scratch"),
            ("OMP_NUM_THREADS", "1"),
            ("OPENBLAS_NUM_THREADS", "1"),
            ("MKL_NUM_THREADS", "1"),
        ]);
        command
    }
}

/// Enters the sandbox that `description` (JSON) describes and runs its command to the end.
///
/// # Errors
/// Naming what the system does not let it do.
pub fn enter(description: &str) -> Result<()> {
    let sandbox: Sandbox = serde_json::from_str(description).context("no sandbox")?;
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let mut namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if !uid.is_root() {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(namespaces).context("this system does not let this user make namespaces (unshare)")?;
    if !uid.is_root() {
        map("setgroups", "deny")?;
        map("uid_map", &format!("{uid} {uid} 1"))?;
        map("gid_map", &format!("{gid} {gid} 1"))?;
    }
    // When memory runs out, this is what to end first.
    _ = fs::write("/proc/self/oom_score_adj", "1000");
    sethostname("sandbox").context("sethostname")?;
    root::enter(&sandbox)?;
    if uid.is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        setgroups(&[]).context("setgroups")?;
        setresgid(gid, gid, gid).context("setresgid")?;
        setresuid(uid, uid, uid).context("setresuid")?;
        // Processes are counted by user and user namespace: in one of its own, these alone.
        unshare(CloneFlags::CLONE_NEWUSER).context("unshare (user namespace)")?;
    }
    limits::limit_processes(sandbox.processes)?;
    limits::same_addresses();
    python_calls::deny_for_python()?;
    let status = sandbox
        .bare_command()
        .current_dir("/scratch")
        .stdin(Stdio::inherit())
        .status()
        .with_context(|| format!("cannot start {} in the sandbox", sandbox.executable.display()))?;
    if !status.success() {
        bail!("{} in the sandbox ended with {status}", sandbox.executable.display());
    }
    Ok(())
}

fn map(file: &str, content: &str) -> Result<()> {
    let path = format!("/proc/self/{file}");
    fs::write(&path, content).with_context(|| format!("cannot write {path}"))
}
