//! An iterator that would not fit into memory: items are made as workers have room for them, results come as they are done.

use procession::Pool;

/// Two megabytes that came from somewhere.
fn block(number: u64) -> Vec<u8> {
    (0..2 << 20).map(|i| (i ^ number) as u8).collect()
}

fn checksum(block: Vec<u8>) -> u64 {
    block.iter().fold(0, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte))
}

fn resident_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) / 256
}

fn main() -> procession::Result<()> {
    let blocks: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let pool = Pool::builder().build()?;
    let (mut total, mut most) = (0u64, 0);
    for (_, sum) in pool.imap_unordered(checksum, (0..blocks).map(block)) {
        total = total.wrapping_add(sum?);
        most = most.max(resident_mib());
    }
    println!("{} MiB went through, checksum {total:x}; this process never held more than {most} MiB", 2 * blocks);
    Ok(())
}
