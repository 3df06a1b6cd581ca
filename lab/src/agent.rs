//! `weir-lab agent`: what `socat TCP6-LISTEN:PORT,fork OPEN:FILE` does, without a process for each question.
//!
//! At full size thirteen L7 nodes ask ten servers every two seconds. In a user-mode kernel on one CPU the forks of socat
//! alone took it up, and BGP sessions ended for want of a keepalive.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};

/// Answers every connection with the file, as it is at that moment, until killed.
pub(crate) fn run(address: SocketAddr, file: &Path) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    serve(&listener, file)
}

fn serve(listener: &TcpListener, file: &Path) -> Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream.context("the listener failed")?;
        // Without a file socat closes the connection, and one who asked and left is no failure of ours.
        if let Ok(text) = std::fs::read(file) {
            drop(stream.write_all(&text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpStream;

    #[test]
    fn each_question_is_answered_with_the_file_as_it_is_then() {
        let file = std::env::temp_dir().join(format!("weir-lab-agent-{}", std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = file.clone();
        std::thread::spawn(move || serve(&listener, &served));
        for text in ["UP\n", "drain\n", ""] {
            std::fs::write(&file, text).unwrap();
            let mut answer = String::new();
            TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
            assert_eq!(answer, text);
        }
        std::fs::remove_file(&file).unwrap();
    }
}
