//! The files that are visible in a sandbox.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use super::Sandbox;

/// Where the new root is put together: a folder that every system has and nothing here reads.
const NEW_ROOT: &str = "/sys";
/// Where the loader looks for shared libraries.
const SYSTEM: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];
const SCRATCH: &str = "mode=1777,size=64m,nr_inodes=4k";
const NOTHING: Option<&str> = None;

/// Makes a root of what `sandbox` needs, and makes it this process's root.
pub(super) fn enter(sandbox: &Sandbox) -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING).context("mount (private)")?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), NEW_ROOT, Some("tmpfs"), safe, Some("mode=755,size=1m"))
        .context("mount (the new root)")?;
    for path in visible(sandbox) {
        show(&path).with_context(|| format!("cannot show {} in the sandbox", path.display()))?;
    }
    for device in DEVICES {
        bind(Path::new(device)).with_context(|| format!("cannot show {device}"))?;
    }
    let scratch = inside(Path::new("/scratch"));
    make_folder(&scratch)?;
    mount(Some("tmpfs"), &scratch, Some("tmpfs"), safe, Some(SCRATCH))
        .context("mount (the scratch folder)")?;
    chdir(NEW_ROOT).context("chdir")?;
    // The old root comes to lie over the new one, and is taken away.
    pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("umount (the old root)")?;
    chdir("/").context("chdir")?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | safe;
    mount(NOTHING, "/", NOTHING, read_only, NOTHING).context("mount (read-only)")
}

/// The outermost of the folders and files to show, in an order in which none lies in a later one.
fn visible(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    paths.extend(sandbox.roots.iter().cloned());
    paths.push(sandbox.executable.clone());
    paths.sort();
    let mut outermost: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !outermost.iter().any(|outer| path.starts_with(outer)) && path.symlink_metadata().is_ok()
        {
            outermost.push(path);
        }
    }
    outermost
}

fn show(path: &Path) -> Result<()> {
    if path.is_symlink() {
        // Such as /lib for usr/lib.
        make_folder(inside(path).parent().unwrap_or(Path::new(NEW_ROOT)))?;
        return Ok(symlink(fs::read_link(path)?, inside(path))?);
    }
    bind(path)?;
    // A mount's own restrictions must be repeated by who may not lift them.
    let there = statvfs(&inside(path))?.flags();
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (flag, kept) in [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if there.contains(flag) {
            flags |= kept;
        }
    }
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | flags;
    Ok(mount(NOTHING, &inside(path), NOTHING, read_only, NOTHING)?)
}

fn bind(path: &Path) -> Result<()> {
    let target = inside(path);
    if path.is_dir() {
        make_folder(&target)?;
    } else {
        make_folder(target.parent().unwrap_or(Path::new(NEW_ROOT)))?;
        fs::write(&target, "")?;
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(path), &target, NOTHING, flags, NOTHING)?)
}

/// Where an absolute path of the system lies in the new root.
fn inside(path: &Path) -> PathBuf {
    Path::new(NEW_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

fn make_folder(path: &Path) -> Result<()> {
    Ok(fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?)
}
