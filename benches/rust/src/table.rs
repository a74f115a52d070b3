//! Measuring in turn, and one table of it all.

use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

/// A row: ours, then peers, each with what measures it once.
pub struct Row<'a> {
    pub name: &'static str,
    pub unit: &'static str,
    /// What our figure may be at most (or, for rates, must be at least) of that of the first peer; of the unit without a peer.
    pub aim: f64,
    /// Whether more is better.
    pub is_rate: bool,
    pub libraries: Vec<(&'static str, Box<dyn FnMut() -> f64 + 'a>)>,
}

/// Microseconds of one of `times` calls.
pub fn each(times: u32, mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..times).for_each(|_| call());
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

/// Takes a value as if it were used.
pub fn done<T>(value: T) {
    std::hint::black_box(value);
}

pub fn thousands_a_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64() / 1e3
}

/// Measures the rows whose name contains one of `wanted`, all if there is none, the libraries of each in turn; prints medians,
/// and the median of the ratios of the rounds. Says whether all aims were met.
pub fn print(rows: Vec<Row<'_>>, wanted: &[String]) -> bool {
    println!("| row | unit | library | median | procession / it | aim | |");
    println!("|---|---|---|---|---|---|---|");
    let mut all_met = true;
    for mut row in rows {
        if !wanted.is_empty() && !wanted.iter().any(|name| row.name.contains(name.as_str())) {
            continue;
        }
        let mut seen = vec![Vec::new(); row.libraries.len()];
        for _ in 0..ROUNDS {
            for (figures, (_, measure)) in seen.iter_mut().zip(&mut row.libraries) {
                figures.push(measure());
            }
        }
        for (place, ((library, _), figures)) in row.libraries.iter().zip(&seen).enumerate() {
            let ratios = seen[0].iter().zip(figures).map(|(ours, theirs)| ours / theirs).collect();
            let (figure, ratio) = (median(figures.clone()), median(ratios));
            let has_aim = if row.libraries.len() == 1 { place == 0 } else { place == 1 };
            let judged = if row.libraries.len() == 1 { figure } else { ratio };
            let met = if row.is_rate { judged >= row.aim } else { judged <= row.aim };
            let sign = if row.is_rate { ">=" } else { "<=" };
            let aim = if has_aim { format!("{sign} {:.3}", row.aim) } else { String::new() };
            let verdict = if !has_aim {
                ""
            } else if met {
                "met"
            } else {
                "MISSED"
            };
            all_met &= met || !has_aim;
            let ratio = if place == 0 { String::new() } else { format!("{ratio:.3}") };
            println!("| {} | {} | {library} | {figure:.3} | {ratio} | {aim} | {verdict} |", row.name, row.unit);
        }
    }
    all_met
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
