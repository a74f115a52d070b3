//! Control groups of version 2: a limit of memory that the kernel holds, for one process and what it starts.
//!
//! Only a group that was *delegated* to this user is touched: systemd marks it with an extended attribute, elsewhere its
//! owner tells. The kernel gives memory to the children of a group only when it has no process of its own, so the group
//! is the one around that of this process, or its own where that is a root with memory given out already.
//!
//! Everything here is an attempt: where a step is refused there is no group, and whoever asked goes on without.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of groups made here begin with; the id of their maker and a number follow.
const PREFIX: &str = "procession-";

/// How many groups this process has made.
static MADE: AtomicU64 = AtomicU64::new(0);

/// A delegated group, in which each process with a limit has one of its own.
#[derive(Debug)]
pub struct MemoryGroups {
    base: PathBuf,
}

/// The group of one process. It is removed when dropped, if nothing runs in it any more.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
    limit: u64,
    maker: u32,
}

impl MemoryGroups {
    /// Finds the delegated group of this process in the hierarchy at `root`; `own` is the file that names its groups, `user`
    /// who it acts for. Removes what ended processes have left there.
    pub fn find(root: &Path, own: &Path, user: u32) -> Option<MemoryGroups> {
        // Version 1 has no such file at its root; with both versions mounted, memory belongs to version 1.
        fs::metadata(root.join("cgroup.controllers")).ok()?;
        let groups = fs::read_to_string(own).ok()?;
        let place = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::/"))?);
        if !place.components().all(|part| matches!(part, Component::Normal(_))) {
            return None; // It lies outside of what this container sees.
        }
        let inner = root.join(place);
        let outer = inner.parent().filter(|outer| outer.starts_with(root));
        let base = [Some(inner.as_path()), outer].into_iter().flatten().find(|base| gives_memory(base, user))?;
        let groups = MemoryGroups { base: base.to_owned() };
        groups.sweep();
        Some(groups)
    }

    /// Makes a group whose members may have `limit` bytes together.
    pub fn make(&self, limit: u64) -> Option<MemoryGroup> {
        let maker = std::process::id();
        let path = self.base.join(format!("{PREFIX}{maker}-{}", MADE.fetch_add(1, Ordering::Relaxed)));
        if path.exists() {
            remove(&path).ok()?; // Of a process that had the same id.
        }
        fs::create_dir(&path).ok()?;
        let group = MemoryGroup { path, limit, maker };
        fs::write(group.path.join("memory.max"), limit.to_string()).ok()?;
        // Without these the limit is a limit still: a system may have no swap, or an older kernel.
        let _ = fs::write(group.path.join("memory.swap.max"), "0");
        let _ = fs::write(group.path.join("memory.oom.group"), "1");
        Some(group)
    }

    /// Removes the groups of makers that have ended without.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.base) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let maker =
                name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
            if maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
                let _ = remove(&entry.path());
            }
        }
    }
}

impl MemoryGroup {
    /// Its folder: for [`enter_group`], in the process that it is for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the process `id` is in it.
    pub fn holds(&self, id: u32) -> bool {
        let members = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        members.split_ascii_whitespace().any(|member| member.parse() == Ok(id))
    }

    /// The most bytes that its members had at a time, if the kernel has killed one of them for the limit of this group.
    pub fn exceeded(&self) -> Option<u64> {
        let events = fs::read_to_string(self.path.join("memory.events")).ok()?;
        // A kill without a limit that was met here was for a group around this one, or for the whole system.
        if count(&events, "oom_kill") == 0 || count(&events, "oom") == 0 {
            return None;
        }
        let peak = fs::read_to_string(self.path.join("memory.peak")).ok();
        Some(peak.and_then(|peak| peak.trim().parse().ok()).unwrap_or(self.limit))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A copy in a forked child is not its maker's. What a process has left running keeps its group: `sweep` looks again.
        if self.maker == std::process::id() {
            let _ = remove(&self.path);
        }
    }
}

/// Moves this process into the group whose folder is `path`, with all memory that it takes from now on.
///
/// # Errors
/// The system's.
pub fn enter_group(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), std::process::id().to_string())
}

fn count(events: &str, name: &str) -> u64 {
    let value = events.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// Whether `base` was delegated and can give memory to groups in it; has it do so.
fn gives_memory(base: &Path, user: u32) -> bool {
    let lists = |file: &str| {
        let words = fs::read_to_string(base.join(file)).unwrap_or_default();
        words.split_ascii_whitespace().any(|word| word.trim_start_matches('+') == "memory")
    };
    // A root has no type. In a threaded group memory cannot be divided.
    let kind = fs::read_to_string(base.join("cgroup.type")).unwrap_or_else(|_| "domain".into());
    if kind.trim() != "domain" || !is_delegated(base, user) || !lists("cgroup.controllers") {
        return false;
    }
    if rustix::fs::access(base, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        return false;
    }
    if lists("cgroup.subtree_control") {
        return true;
    }
    let members = fs::read_to_string(base.join("cgroup.procs"));
    members.is_ok_and(|members| members.trim().is_empty())
        && fs::write(base.join("cgroup.subtree_control"), "+memory").is_ok()
}

/// Whether `base` was given to `user` to make groups in.
fn is_delegated(base: &Path, user: u32) -> bool {
    let mut mark = [0; 8];
    if let Ok(size) = rustix::fs::getxattr(base, "user.delegate", &mut mark[..]) {
        return mark[..size] == *b"1";
    }
    // Root owns everything, which says nothing; and slices belong to systemd, whoever owns them.
    let owns = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).is_ok_and(|file| file.uid() == user)
    };
    user != 0
        && base.extension().is_none_or(|extension| extension != "slice")
        && owns(base)
        && owns(&base.join("cgroup.procs"))
        && owns(&base.join("cgroup.subtree_control"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        // The files of a group go with it; those of a tree that stands for a hierarchy do not.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(path),
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
