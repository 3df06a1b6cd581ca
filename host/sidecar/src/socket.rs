//! The socket on which the host finds the sidecar.

use std::io;
use std::os::unix::fs::lchown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::StartError;

/// Binds the socket, for this user and for `owner` only. One that a dead sidecar left is replaced; one that answers is an error.
pub(crate) fn bind(path: &Path, owner: Option<u32>) -> Result<UnixListener, StartError> {
    if UnixStream::connect(path).is_ok() {
        return Err(StartError::Another(path.to_owned()));
    }
    let unready = path.with_extension("unready");
    let bound = bind_at(&unready, owner).and_then(|listener| {
        // Under its name only once it has its mode and its owner; a name that is taken by a dead socket is given up by this.
        std::fs::rename(&unready, path)?;
        Ok(listener)
    });
    bound.map_err(|error| StartError::Socket { path: path.to_owned(), error })
}

fn bind_at(path: &Path, owner: Option<u32>) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mask = umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    umask(mask);
    let listener = bound?;
    if let Some(owner) = owner {
        give(path, owner)?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Gives the socket away, and nothing that it may have been replaced by: the directory can be the host's, and whoever took that over must
/// not be given files of root by a link. For the same reason the mode is the umask's and is not set afterwards.
fn give(path: &Path, owner: u32) -> io::Result<()> {
    lchown(path, Some(owner), None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sidecar.sock");
        let first = bind(&path, None).unwrap();
        assert!(matches!(bind(&path, None), Err(StartError::Another(_))));
        drop(first);
        let second = bind(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(second);
    }

    #[test]
    fn what_a_link_leads_to_is_not_given_away() {
        let dir = tempfile::tempdir().unwrap();
        let (link, nowhere) = (dir.path().join("sidecar.unready"), dir.path().join("nowhere"));
        symlink(&nowhere, &link).unwrap();
        let own = std::fs::symlink_metadata(&link).unwrap().uid();
        assert!(give(&link, own).is_ok(), "the link itself is there, what it leads to is not");
    }
}
