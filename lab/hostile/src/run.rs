//! Inputs one after the other, and what is worth keeping of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::guard::{self, Fault, Watch, attempt};
use crate::mutate::mutate;
use crate::smaller::smaller;
use crate::{Shape, Target};

/// How many inputs are tried where nobody says for how long: a part of a second, so that it can be an ordinary test.
const INPUTS: u64 = 20_000;
/// The seed where nobody says another one: each run of the tests is the same.
const SEED: u64 = 1;
/// Inputs that are kept for more mutations.
const KEPT: usize = 4096;
/// Of so many inputs all but one are mended.
const UNMENDED: usize = 8;

/// For how long, in whole seconds.
const SECONDS: &str = "WEIR_HOSTILE_SECONDS";
/// Another seed.
const SEEDED: &str = "WEIR_HOSTILE_SEED";
/// Only the input in this file.
const REPLAY: &str = "WEIR_HOSTILE_REPLAY";

/// Throws hostile bytes at a decoder: real input as it is, then mutations of it, for as long as the environment says.
///
/// # Panics
/// Where an input does what it must not, with where it is written and how to have it again.
pub fn attack(target: &dyn Target) {
    if let Some(file) = std::env::var_os(REPLAY) {
        return replay(target, Path::new(&file));
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number(SECONDS);
    let mut run = Run::new(target, number(SEEDED).unwrap_or(SEED));
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    run.all(|count| until.map_or(count < INPUTS, |until| count % 256 != 0 || Instant::now() < until));
    if seconds.is_some() {
        run.tell();
    }
}

struct Run<'a> {
    target: &'a dyn Target,
    seed: u64,
    kept: Vec<Vec<u8>>,
    shapes: HashSet<Shape>,
    coverage: Coverage,
    count: u64,
    /// The largest share of the allowed memory that an input took, in percent.
    memory: usize,
    began: Instant,
}

impl<'a> Run<'a> {
    fn new(target: &'a dyn Target, seed: u64) -> Self {
        let coverage = Coverage::of_this_program();
        Self {
            target,
            seed,
            kept: Vec::new(),
            shapes: HashSet::new(),
            coverage,
            count: 0,
            memory: 0,
            began: Instant::now(),
        }
    }

    fn all(&mut self, go_on: impl Fn(u64) -> bool) {
        let watch = Watch::begin(self.target.name());
        for input in self.target.corpus() {
            self.one(&watch, &input);
            // All of them, whatever came of them.
            if !self.kept.contains(&input) {
                self.kept.push(input);
            }
        }
        // A name and a seed make one sequence; targets do not walk in step.
        let salt = self
            .target
            .name()
            .bytes()
            .fold(self.seed, |salt, byte| Dice::new(salt ^ u64::from(byte)).number());
        let mut dice = Dice::new(salt);
        while go_on(self.count) {
            let mut bytes = dice.pick(&self.kept).cloned().unwrap_or_default();
            mutate(&mut bytes, &self.kept, self.target.words(), self.target.longest(), &mut dice);
            if !dice.one_in(UNMENDED) {
                self.target.mend(&mut bytes);
            }
            if self.one(&watch, &bytes) && self.kept.len() < KEPT {
                self.kept.push(bytes);
            }
        }
    }

    /// Tries one; whether something about it is new.
    fn one(&mut self, watch: &Watch, bytes: &[u8]) -> bool {
        self.count += 1;
        watch.next(bytes);
        self.coverage.begin();
        match attempt(self.target, bytes) {
            Ok(done) => {
                self.memory = self.memory.max(100 * done.held / done.allowed.max(1));
                self.coverage.is_news() | self.shapes.insert(done.shape)
            }
            Err(fault) => self.broken(bytes, &fault),
        }
    }

    #[allow(clippy::panic, reason = "this is how a test fails")]
    fn broken(&self, bytes: &[u8], fault: &Fault) -> ! {
        let target = self.target;
        // What is tried here panics again and again; once was enough to read.
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let least = smaller(bytes, |bytes| attempt(target, bytes).is_err_and(|other| other.is_like(fault)));
        std::panic::set_hook(told);
        let name = target.name();
        let file = guard::folder().join(format!("{name}-{:016x}.bin", Dice::new(checksum(&least)).number()));
        let written = match std::fs::write(&file, &least) {
            Ok(()) => format!("written to {}", file.display()),
            Err(error) => format!("cannot be written to {}: {error}", file.display()),
        };
        let digits: String = least.iter().take(512).map(|byte| format!("{byte:02x}")).collect();
        panic!(
            "hostile bytes break {name} (seed {}, input {}): it {fault}\n  smallest input found, {} bytes: {digits}\n  {written}\n  \
             again: cargo lab fuzz {name} --replay {}",
            self.seed,
            self.count,
            least.len(),
            file.display()
        );
    }

    #[allow(clippy::print_stdout, reason = "who asks for so many seconds wants to know what came of them")]
    fn tell(&self) {
        let seconds = self.began.elapsed().as_secs_f64();
        let (reached, of) = self.coverage.reached();
        let code = if self.coverage.is_counted() {
            format!(", {reached} of {of} edges of the code")
        } else {
            String::new()
        };
        println!(
            "hostile {}: seed {}, {} inputs in {seconds:.1} s, {} kinds of results, {} kept, at most {} % of the memory allowed{code}",
            self.target.name(),
            self.seed,
            self.count,
            self.shapes.len(),
            self.kept.len(),
            self.memory
        );
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, byte| Dice::new(sum ^ u64::from(*byte)).number())
}

/// One input, with the panic as it comes.
#[allow(clippy::print_stdout, clippy::panic, reason = "who replays wants to see")]
fn replay(target: &dyn Target, file: &Path) {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{}: {error}", file.display()),
    };
    let left_behind = PathBuf::from(file).extension().is_some_and(|kind| kind == "running");
    let bytes = if left_behind { guard::running(&bytes).unwrap_or_default().to_vec() } else { bytes };
    println!("hostile {}: {} bytes of {}", target.name(), bytes.len(), file.display());
    match attempt(target, &bytes) {
        Ok(done) => println!("hostile {}: nothing happens ({} bytes held at once)", target.name(), done.held),
        Err(fault) => panic!("hostile bytes break {}: it {fault}", target.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of values, each behind its length; it trusts the length where the value begins with two certain bytes.
    struct Careless;

    impl Target for Careless {
        fn name(&self) -> &'static str {
            "careless"
        }

        fn corpus(&self) -> Vec<Vec<u8>> {
            vec![vec![2, 7, 7, 3, 1, 2, 3]]
        }

        #[allow(clippy::indexing_slicing, reason = "this is the bug")]
        fn attack(&self, mut bytes: &[u8]) -> Shape {
            let mut values = Vec::new();
            while let Some((length, rest)) = bytes.split_first() {
                let length = usize::from(*length);
                let value = if rest.starts_with(&[1, 2]) {
                    &rest[..length]
                } else {
                    rest.get(..length).unwrap_or_default()
                };
                values.push(value.len());
                bytes = rest.get(value.len()..).unwrap_or_default();
            }
            Shape::of(&values)
        }
    }

    #[test]
    fn a_bug_is_found_made_small_and_written_down() {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let broken = std::panic::catch_unwind(|| attack(&Careless));
        std::panic::set_hook(told);
        let message = *broken.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("hostile bytes break careless (seed 1, input "), "{message}");
        assert!(message.contains("smallest input found, 3 bytes: "), "{message}");
        let file = message.rsplit_once("--replay ").unwrap().1.trim();
        assert_eq!(std::fs::read(file).unwrap()[1..], [1, 2]);
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_run_is_the_same_each_time() {
        let run = |seed| {
            let mut run = Run::new(&Sound, seed);
            run.all(|count| count < 2000);
            run.kept
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    struct Sound;

    impl Target for Sound {
        fn name(&self) -> &'static str {
            "sound"
        }

        fn corpus(&self) -> Vec<Vec<u8>> {
            vec![b"abc".to_vec()]
        }

        fn attack(&self, bytes: &[u8]) -> Shape {
            Shape::of(
                &std::str::from_utf8(bytes)
                    .map(|text| text.chars().filter(|c| c.is_alphabetic()).count() > 4),
            )
        }
    }
}
