//! What the system knows of processes.

/// Whether a process is there and no zombie.
pub fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// The children of a process, zombies included.
pub fn children_of(parent: u32) -> Vec<u32> {
    let ids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_ascii_whitespace().nth(1) == Some(&parent.to_string())
    };
    ids.filter(is_child).collect()
}

/// Sends a signal, as `kill` takes it.
pub fn kill(signal: &str, id: u32) {
    let _ =
        std::process::Command::new("kill").args([signal, &id.to_string()]).stderr(std::process::Stdio::null()).status();
}
