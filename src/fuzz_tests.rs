//! The engine of the fuzz tests: inputs without end from a small corpus, on the stable compiler and without tools.
//!
//! Inputs are made by changing, joining and repeating what the corpus holds. A target answers each input with a short word for what
//! became of it; an input with a new word joins the corpus, so that a run goes deeper where the program does something new. Nothing is
//! judged by the clock: it only ends a run. `docs/fuzzing.md` says how to run for long and how to repeat a run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds of one target, unless `CAUSEWAY_FUZZ_SECONDS` says so.
const SECONDS: u64 = 2;
/// Inputs of one target at least, however busy the machine is.
const LEAST: u64 = 300;
/// Longest input that is made.
const BYTES_MAX: usize = 16 * 1024;
/// Most words that add an input to the corpus, so that a target with too many of them ends all the same.
const WORDS_MAX: usize = 2_000;

/// SplitMix64, so that a seed is a run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Prints what a failure takes to be repeated, when the judge of an input panics.
struct Witness<'a> {
    target: &'a str,
    seed: u64,
    at: u64,
    input: &'a [u8],
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Witness {
                target,
                seed,
                at,
                input,
            } = self;
            println!(
                "{target}: input {at} of CAUSEWAY_FUZZ_SEED={seed} fails: b\"{}\"",
                input.escape_ascii()
            );
        }
    }
}

/// Runs `judge` over the corpus and then over changed inputs until the time is over. `judge` panics when a property does not hold, and
/// answers with a word for what became of the input.
pub(crate) fn run(target: &str, corpus: &[&[u8]], words: &[&str], mut judge: impl FnMut(&[u8]) -> String) {
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64)
    };
    let seed = number("CAUSEWAY_FUZZ_SEED").unwrap_or_else(clock);
    println!("{target}: CAUSEWAY_FUZZ_SEED={seed}");
    let ends = Instant::now() + Duration::from_secs(number("CAUSEWAY_FUZZ_SECONDS").unwrap_or(SECONDS));
    let mut random = Random(seed);
    let mut known: Vec<Vec<u8>> = corpus.iter().map(|input| input.to_vec()).collect();
    let mut answers = BTreeSet::new();
    let mut at = 0;
    while at < known.len() as u64 || at < LEAST || Instant::now() < ends {
        let input = match known.get(at as usize).filter(|_| at < corpus.len() as u64) {
            Some(own) => own.clone(),
            None => changed(&mut random, &known, words),
        };
        let witness = Witness {
            target,
            seed,
            at,
            input: &input,
        };
        let answer = judge(&input);
        drop(witness);
        if answers.len() < WORDS_MAX && answers.insert(answer) && at >= corpus.len() as u64 {
            known.push(input);
        }
        at += 1;
    }
    println!("{target}: {at} inputs, {} kinds of answers", answers.len());
    assert!(answers.len() > 1, "{target}: every input came to the same");
}

/// An input of the corpus with one to eight changes.
fn changed(random: &mut Random, known: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = random.pick(known).clone();
    for _ in 0..=random.below(8) {
        change(random, &mut input, known, words);
        input.truncate(BYTES_MAX);
    }
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, known: &[Vec<u8>], words: &[&str]) {
    let at = random.below(input.len() + 1);
    let end = at + random.below((input.len() - at).min(64) + 1);
    match random.below(10) {
        // One byte: another one, or one bit of it turned over.
        0 if at < input.len() => input[at] = random.below(256) as u8,
        1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 => input.insert(at, random.below(256) as u8),
        3 => drop(input.drain(at..end)),
        4 => input.truncate(at),
        // The same again, once or many times.
        5 => {
            let piece = input[at..end].to_vec();
            let times = [1, 1, 2, 50, 300][random.below(5)];
            let all: Vec<u8> = piece.iter().copied().cycle().take(piece.len() * times).collect();
            input.splice(at..at, all);
        }
        // A piece of another input, here or in place of what stands here.
        6 => {
            let other = random.pick(known);
            let from = random.below(other.len() + 1);
            let until = from + random.below(other.len() - from + 1);
            let place = if random.below(2) == 0 { at..at } else { at..end };
            input.splice(place, other[from..until].iter().copied());
        }
        // A word of the grammar, three times as often as anything else.
        _ => {
            let word = random.pick(words).as_bytes().to_vec();
            let place = if random.below(2) == 0 { at..at } else { at..end };
            input.splice(place, word);
        }
    }
}

#[test]
fn a_seed_is_a_run_and_new_answers_join_the_corpus() {
    let inputs = |seed| {
        let mut random = Random(seed);
        let known = vec![b"{\"a\":1}".to_vec()];
        (0..50)
            .map(|_| changed(&mut random, &known, &["{", "}"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(inputs(7), inputs(7));
    assert_ne!(inputs(7), inputs(8));
    // Three opening braces in a row are found from one that has none, because one and two of them are kept on the way.
    let mut deepest = 0;
    run("engine", &[b"x"], &["{"], |input| {
        let depth = input.iter().take_while(|byte| **byte == b'{').count();
        deepest = deepest.max(depth);
        format!("{}", depth.min(3))
    });
    assert!(deepest >= 3);
}
