//! What an input is not allowed to do: panic, hold too much memory, never come to an end. And where it is found if it takes the whole
//! process with it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::memory::most_during;
use crate::{Shape, Target};

/// No decoder takes so long for a few kilobytes, however busy the machine is.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// What an input did that it must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// With the panic's message.
    Panic(String),
    /// So many bytes at once, of so many allowed.
    Memory { held: usize, allowed: usize },
}

impl Fault {
    /// Whether it is the same one, as far as can be told: another place in the code is another fault.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panic(one), Self::Panic(other)) => {
                let kind =
                    |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).take(40).collect::<String>();
                kind(one) == kind(other)
            }
            (Self::Memory { .. }, Self::Memory { .. }) => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic(message) => write!(f, "panics: {message}"),
            Self::Memory { held, allowed } => write!(f, "holds {held} bytes at once, {allowed} are allowed"),
        }
    }
}

/// An input that did nothing wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) shape: Shape,
    /// Bytes at once, of so many allowed.
    pub(crate) held: usize,
    pub(crate) allowed: usize,
}

/// Tries one input.
pub(crate) fn attempt(target: &dyn Target, bytes: &[u8]) -> Result<Done, Fault> {
    // What a panic leaves behind is never looked at again: the run ends with it.
    let (result, held) = most_during(|| catch_unwind(AssertUnwindSafe(|| target.attack(bytes))));
    let allowed = target.memory().of(bytes.len());
    match result {
        Err(payload) => Err(Fault::Panic(message(&*payload))),
        Ok(_) if held > allowed => Err(Fault::Memory { held, allowed }),
        Ok(shape) => Ok(Done { shape, held, allowed }),
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

/// Where inputs are written that break something: `target/hostile/`, next to what cargo built this program into.
pub(crate) fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    // target/PROFILE/deps/PROGRAM
    let target = program.ancestors().nth(3).map_or_else(std::env::temp_dir, Path::to_path_buf);
    let folder = target.join("hostile");
    // Who cannot write there says so when it matters.
    let _ = std::fs::create_dir_all(&folder);
    folder
}

/// Knows what is tried right now, should it be the last thing that this process does.
pub(crate) struct Watch {
    file: Option<File>,
    path: PathBuf,
    count: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to watch; the input that is tried is in this file.
    pub(crate) fn begin(name: &str) -> Self {
        let path = folder().join(format!("{name}.running"));
        let count = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let watch = Self { file: File::create(&path).ok(), path, count, over };
        watch.against_hanging(name.to_owned());
        watch
    }

    fn against_hanging(&self, name: String) {
        let (count, over, path) = (Arc::clone(&self.count), Arc::clone(&self.over), self.path.clone());
        std::thread::spawn(move || {
            let mut last = u64::MAX;
            while !over.load(Ordering::Relaxed) {
                let now = count.swap(0, Ordering::Relaxed);
                if now == 0 && last == 0 {
                    hung(&name, &path);
                }
                last = now;
                // Woken when it is over.
                std::thread::park_timeout(HANGS_AFTER / 2);
            }
        });
    }

    /// This is tried next.
    pub(crate) fn next(&self, bytes: &[u8]) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(file) = &self.file {
            // The length is written last: what is left of a longer input before it is cut off when it is read.
            let length = (bytes.len() as u64).to_le_bytes();
            let _ = file.write_all_at(&[&length, bytes].concat(), 0);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[allow(clippy::print_stderr, reason = "the last words of this process")]
fn hung(name: &str, path: &Path) {
    eprintln!(
        "{name}: an input takes more than {} s; it is in {} (behind its length of eight bytes)",
        HANGS_AFTER.as_secs() / 2,
        path.display()
    );
    std::process::abort();
}

/// The input in the file of a process that died.
pub(crate) fn running(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bad;

    impl Target for Bad {
        fn name(&self) -> &'static str {
            "bad"
        }

        fn corpus(&self) -> Vec<Vec<u8>> {
            Vec::new()
        }

        fn attack(&self, bytes: &[u8]) -> Shape {
            match bytes {
                [1, ..] => Shape::of(&vec![0_u8; 1 << 20]),
                [2, ..] => unreachable!("a bug"),
                _ => Shape::of(&bytes.len()),
            }
        }
    }

    #[test]
    fn a_panic_and_too_much_memory_are_faults() {
        assert!(attempt(&Bad, &[0]).is_ok());
        assert!(matches!(attempt(&Bad, &[1]), Err(Fault::Memory { held, .. }) if held >= 1 << 20));
        let Err(panic) = attempt(&Bad, &[2]) else { unreachable!() };
        assert!(panic.to_string().contains("a bug"));
        assert!(!panic.is_like(&Fault::Memory { held: 1, allowed: 0 }));
    }

    #[test]
    fn the_input_of_a_process_that_died_is_found() {
        let watch = Watch::begin("found");
        watch.next(&[9; 20]);
        watch.next(&[1, 2, 3]);
        let written = std::fs::read(&watch.path).unwrap();
        assert_eq!(running(&written), Some(&[1, 2, 3][..]));
    }
}
