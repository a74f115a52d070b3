use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::atomic::AtomicU32;

use super::*;

/// A tree of plain files that stands for a hierarchy: `/app` is delegated, this process is in `/app/leaf`.
struct Tree {
    root: PathBuf,
    own: PathBuf,
    user: u32,
}

impl Tree {
    fn new() -> Tree {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("procession-groups-{}-{number}", std::process::id()));
        let tree = Tree { root: folder.join("tree"), own: folder.join("own"), user: 0 };
        fs::create_dir_all(tree.root.join("app/leaf")).unwrap();
        fs::write(&tree.own, "4:memory:/elsewhere\n0::/app/leaf\n").unwrap();
        fs::write(tree.root.join("cgroup.controllers"), "cpu memory").unwrap();
        for group in ["app", "app/leaf"] {
            let group = tree.root.join(group);
            fs::write(group.join("cgroup.type"), "domain\n").unwrap();
            fs::write(group.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
            fs::write(group.join("cgroup.subtree_control"), "\n").unwrap();
            fs::write(group.join("cgroup.procs"), "").unwrap();
        }
        tree.write("app/leaf/cgroup.procs", &format!("{}\n", std::process::id()));
        let user = fs::metadata(&tree.root).unwrap().uid();
        tree.owned_by(if user == 0 { 65534 } else { user })
    }

    fn owned_by(mut self, user: u32) -> Tree {
        if fs::metadata(&self.root).unwrap().uid() != user {
            for name in ["", "/cgroup.procs", "/cgroup.subtree_control"] {
                chown(self.root.join(format!("app{name}")), Some(user), None).unwrap();
            }
        }
        self.user = user;
        self
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name)).unwrap()
    }

    fn find(&self) -> Option<MemoryGroups> {
        MemoryGroups::find(&self.root, &self.own, self.user)
    }

    fn made(&self) -> Vec<String> {
        let names = fs::read_dir(self.root.join("app")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.into_string().ok().filter(|name| name.starts_with(PREFIX))).collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::set_permissions(self.root.join("app"), fs::Permissions::from_mode(0o755));
        fs::remove_dir_all(self.root.parent().unwrap()).unwrap();
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_limit_is_written_before_anybody_enters_and_the_group_goes_when_dropped() {
    let tree = Tree::new();
    let groups = tree.find().unwrap();
    assert_eq!(tree.read("app/cgroup.subtree_control"), "+memory");
    assert_eq!(tree.made(), [""; 0]);
    let group = groups.make(200_000_000).unwrap();
    assert_eq!(names_in(group.path()), ["memory.max", "memory.oom.group", "memory.swap.max"]);
    for (name, text) in [("memory.max", "200000000"), ("memory.oom.group", "1"), ("memory.swap.max", "0")] {
        assert_eq!(fs::read_to_string(group.path().join(name)).unwrap(), text);
    }
    assert!(!group.holds(std::process::id()));
    enter_group(group.path()).unwrap();
    assert!(group.holds(std::process::id()));
    let other = groups.make(1).unwrap();
    assert_eq!(tree.made().len(), 2);
    assert!(tree.made().iter().all(|name| name.starts_with(&format!("{PREFIX}{}-", std::process::id()))));
    drop((group, other));
    assert_eq!(tree.made(), [""; 0]);
    assert_eq!(tree.read("app/leaf/cgroup.subtree_control"), "\n");
}

#[test]
fn a_kill_counts_where_the_limit_of_the_group_itself_was_met() {
    let tree = Tree::new();
    let group = tree.find().unwrap().make(1000).unwrap();
    let events = |text: &str| fs::write(group.path().join("memory.events"), text).unwrap();
    assert_eq!(group.exceeded(), None);
    events("low 0\nhigh 0\nmax 7\noom 2\noom_kill 0\noom_group_kill 0\n");
    assert_eq!(group.exceeded(), None);
    // The system as a whole had no memory left.
    events("low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n");
    assert_eq!(group.exceeded(), None);
    events("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 1\n");
    assert_eq!(group.exceeded(), Some(1000));
    fs::write(group.path().join("memory.peak"), "1001\n").unwrap();
    assert_eq!(group.exceeded(), Some(1001));
}

#[test]
fn memory_that_is_given_out_already_is_not_asked_for_again() {
    let tree = Tree::new();
    tree.write("app/cgroup.subtree_control", "cpu memory\n");
    tree.write("app/cgroup.procs", "1\n");
    assert!(tree.find().is_some());
    assert_eq!(tree.read("app/cgroup.subtree_control"), "cpu memory\n");
}

#[test]
fn what_ended_makers_left_is_removed_and_nothing_else() {
    let tree = Tree::new();
    let ours = format!("app/{PREFIX}{}-77", std::process::id());
    for name in ["app/procession-4194305-0", "app/procession-x-0", "app/other-4194305-0", &ours] {
        fs::create_dir(tree.root.join(name)).unwrap();
    }
    tree.find().unwrap();
    let mut left = tree.made();
    left.sort();
    let mut wanted = [ours.strip_prefix("app/").unwrap().to_owned(), "procession-x-0".into()];
    wanted.sort();
    assert_eq!(left, wanted);
    assert!(tree.root.join("app/other-4194305-0").exists());
}

#[test]
fn the_mark_of_systemd_tells_before_the_owner_does() {
    let tree = Tree::new();
    let app = tree.root.join("app");
    let mark =
        |text: &[u8]| rustix::fs::setxattr(&app, "user.delegate", text, rustix::fs::XattrFlags::empty()).unwrap();
    mark(b"0");
    assert!(tree.find().is_none());
    mark(b"1");
    assert!(MemoryGroups::find(&tree.root, &tree.own, 0).is_some());
}

#[test]
fn a_slice_belongs_to_systemd_whoever_owns_it() {
    let tree = Tree::new();
    fs::rename(tree.root.join("app"), tree.root.join("app.slice")).unwrap();
    fs::write(&tree.own, "0::/app.slice/leaf\n").unwrap();
    assert!(tree.find().is_none());
    fs::rename(tree.root.join("app.slice"), tree.root.join("app")).unwrap();
}

#[test]
fn a_refusal_at_any_step_leaves_nothing() {
    let tree = Tree::new();
    let control = tree.root.join("app/cgroup.subtree_control");
    let groups = tree.find().unwrap();
    fs::remove_file(&control).unwrap();
    fs::create_dir(&control).unwrap();
    chown(&control, Some(tree.user), None).unwrap();
    assert!(tree.find().is_none());
    let aside = tree.root.join("aside");
    fs::rename(tree.root.join("app"), &aside).unwrap();
    assert!(groups.make(1).is_none());
    fs::rename(&aside, tree.root.join("app")).unwrap();
    assert_eq!(tree.made(), [""; 0]);
}

#[test]
fn what_is_not_delegated_is_left_alone() {
    type Change = fn(&mut Tree);
    let changes: [(&str, Change); 11] = [
        ("it belongs to another user", |tree| tree.user += 1),
        ("root owns everything", |tree| tree.user = 0),
        ("the members are not ours to move", |tree| fs::remove_file(tree.root.join("app/cgroup.procs")).unwrap()),
        ("no memory to give", |tree| tree.write("app/cgroup.controllers", "cpu pids\n")),
        ("processes in it", |tree| tree.write("app/cgroup.procs", "1\n")),
        ("threads", |tree| tree.write("app/cgroup.type", "threaded\n")),
        ("threads below", |tree| tree.write("app/cgroup.type", "domain threaded\n")),
        ("version 1", |tree| fs::remove_file(tree.root.join("cgroup.controllers")).unwrap()),
        ("no group of version 2", |tree| fs::write(&tree.own, "4:memory:/app/leaf\n").unwrap()),
        ("a group that is not to be seen", |tree| fs::write(&tree.own, "0::/../app/leaf\n").unwrap()),
        ("nothing is known of it", |tree| fs::remove_file(&tree.own).unwrap()),
    ];
    for (why, change) in changes {
        let mut tree = Tree::new();
        change(&mut tree);
        assert!(tree.find().is_none(), "{why}");
        assert_eq!(tree.read("app/cgroup.subtree_control"), "\n", "{why}");
        assert_eq!(tree.made(), [""; 0], "{why}");
    }
}

/// The kernel's own hierarchy, where this user may change it: without memory, which it may not have, but with the rules
/// of its files and folders.
#[test]
fn the_kernel_takes_the_same_steps() {
    let all = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let writable = |root: &PathBuf| {
        root.join("cgroup.controllers").exists()
            && rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_ok()
            && fs::create_dir(root.join(format!("probe-{}", std::process::id()))).is_ok()
    };
    let Some(root) = all.into_iter().find(writable) else { return };
    let base = root.join(format!("probe-{}", std::process::id()));
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let groups = MemoryGroups { base: base.clone() };
    let path = base.join("procession-4194305-0");
    fs::create_dir(&path).unwrap();
    groups.sweep();
    let swept = !path.exists();
    fs::create_dir(&path).unwrap();
    let group = MemoryGroup { path: path.clone(), limit: 1, maker: std::process::id() };
    // What it does not know it refuses to make: nothing is left where the limit cannot be written.
    let has_memory = path.join("memory.max").exists();
    let made = groups.make(1 << 40);
    let moved = fs::write(path.join("cgroup.procs"), child.id().to_string());
    let held = group.holds(child.id());
    let busy = remove(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(group);
    let removed = !path.exists();
    let refused_nothing = made.is_some();
    drop(made);
    let left = names_in(&base).into_iter().filter(|name| name.starts_with(PREFIX)).count();
    let _ = fs::remove_dir(&path);
    fs::remove_dir(&base).unwrap();
    moved.unwrap();
    assert!(swept && held && busy.is_err() && removed);
    assert_eq!((refused_nothing, left), (has_memory, 0));
}
