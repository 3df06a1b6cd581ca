//! The secret that cookies are made with, on disk.
//!
//! Servers that share an address must share the secret, or a client's cookie is worth nothing at the next one. So it is
//! a file that can be copied: 32 hexadecimal digits, and in a second line, for the hour in which a secret is
//! replaced, the one before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use weir_core::dns::cookie::Secrets;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum CookieFileError {
    /// It cannot be read or made.
    #[error("{path}: {cause}")]
    Unreadable {
        /// Where it lies.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It is there, and is no secret.
    #[error(
        "{path}: expected 32 hexadecimal digits, and in a second line perhaps the secret before; remove the file for a new one"
    )]
    Malformed {
        /// Where it lies.
        path: PathBuf,
    },
}

/// The secret in this file, which is made where there is none.
///
/// # Errors
/// See [`CookieFileError`].
pub fn load(path: &Path) -> Result<Secrets, CookieFileError> {
    let unreadable = |cause| CookieFileError::Unreadable { path: path.to_owned(), cause };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(unreadable)?,
        Err(error) => return Err(unreadable(error)),
    };
    let mut secrets = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(parse);
    match (secrets.next(), secrets.next(), secrets.next()) {
        (Some(Some(current)), previous, None) if previous != Some(None) => {
            Ok(Secrets { current, previous: previous.flatten() })
        }
        _ => Err(CookieFileError::Malformed { path: path.to_owned() }),
    }
}

fn make(path: &Path) -> io::Result<String> {
    let mut secret = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let text = secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    // Of two that start at once, one makes it and the other reads what that one made.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| text),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path),
        Err(error) => Err(error),
    }
}

fn parse(line: &str) -> Option<[u8; 16]> {
    let digits: Option<Vec<u8>> =
        line.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|d| d.len() == 32)?;
    let mut secret = [0; 16];
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |high, low| high << 4 | low);
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dns-cookie");
        let made = load(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&path).unwrap().current, made.current);
        assert_ne!(load(&dir.path().join("other")).unwrap().current, made.current);
    }

    #[test]
    fn the_second_line_is_the_secret_before_and_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dns-cookie");
        let line = |digit: &str| digit.repeat(32);
        fs::write(&path, format!("{}\n{}\n", line("a"), line("B"))).unwrap();
        let secrets = load(&path).unwrap();
        assert_eq!((secrets.current, secrets.previous), ([0xaa; 16], Some([0xbb; 16])));
        let three = format!("{0}\n{0}\n{0}\n", line("a"));
        for text in ["", "abc", &line("g"), &format!("{}\nx\n", line("a")), &three] {
            fs::write(&path, text).unwrap();
            assert!(matches!(load(&path), Err(CookieFileError::Malformed { .. })), "{text:?}");
        }
    }
}
