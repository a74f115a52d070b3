//! The commonest words of the text files in a folder. `cargo run --release --example word_count [folder]`

use std::collections::HashMap;
use std::path::PathBuf;

use procession::Pool;

type Counts = HashMap<String, u64>;

fn count(file: PathBuf) -> Counts {
    let text = std::fs::read_to_string(file).unwrap_or_default().to_lowercase();
    let mut counts = Counts::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src/pool").into());
    let files = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    let mut total = Counts::new();
    for (_, counts) in Pool::builder().build()?.imap_unordered(count, files) {
        for (word, times) in counts? {
            *total.entry(word).or_default() += times;
        }
    }
    let mut words: Vec<_> = total.into_iter().collect();
    words.sort_by_key(|(word, times)| (std::cmp::Reverse(*times), word.clone()));
    for (word, times) in words.iter().take(10) {
        println!("{times:6} {word}");
    }
    Ok(())
}
