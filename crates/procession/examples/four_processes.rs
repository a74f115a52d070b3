//! Four processes, each with a number; the twin of `examples/four_processes.py`.

use procession::{Process, Result};

fn print_number(number: u32) {
    println!("Process {number}: {number}");
}

fn main() -> Result<()> {
    let processes = (1..=4).map(|number| Process::spawn(print_number, number)).collect::<Result<Vec<_>>>()?;
    for process in processes {
        process.join()?;
    }
    Ok(())
}
