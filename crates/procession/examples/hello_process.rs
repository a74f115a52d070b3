//! A function in a process of its own; the twin of `examples/hello_process.py`.

use procession::Process;

fn worker(name: String) {
    println!("Worker process {} says hello to {name}", std::process::id());
}

fn main() -> procession::Result<()> {
    let process = Process::spawn(worker, "you".into())?;
    process.join()?;
    Ok(())
}
