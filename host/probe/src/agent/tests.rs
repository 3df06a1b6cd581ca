use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_core::health::{Admin, AgentError, Health};

use super::*;
use crate::check::{CheckError, Stage};

const SECOND: Duration = Duration::from_secs(1);

/// An agent that says this, byte for byte, and then closes or not.
async fn saying(words: &'static [u8], closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(words).await;
        if !closes {
            std::future::pending::<()>().await;
        }
    });
    address
}

async fn ask(address: SocketAddr) -> Result<weir_core::health::AgentReport, AgentFailure> {
    Question { address, send: String::new() }.ask(SECOND).await
}

/// An agent with this file.
async fn agent(file: &std::path::Path) -> (SocketAddr, tokio::task::JoinHandle<std::convert::Infallible>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(serve(listener, AgentFile::new(file))))
}

async fn everything_from(address: SocketAddr) -> io::Result<String> {
    let mut said = String::new();
    TcpStream::connect(address).await?.read_to_string(&mut said).await?;
    Ok(said)
}

#[tokio::test(start_paused = true)]
async fn one_line_is_read_whether_the_agent_closes_or_not() {
    for closes in [true, false] {
        let report = ask(saying(b"drain 50% # upgrade\r\nnot read", closes).await).await.unwrap();
        assert_eq!((report.admin, report.reason.as_deref()), (Some(Admin::Drain), Some("upgrade")));
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_understood_is_told_apart_from_one_that_is_not_there() {
    let line = async |words, closes| match ask(saying(words, closes).await).await {
        Err(AgentFailure::BadLine { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(line(b"up", true).await, AgentError::Incomplete("up".into()));
    assert_eq!(line(b"", true).await, AgentError::Incomplete(String::new()));
    assert_eq!(line(b"what\n", false).await, AgentError::UnknownWord("what".into()));
    assert_eq!(line(&[b'u'; 100_000], false).await, AgentError::TooLong);

    let hangs = ask(saying(b"up", false).await).await;
    assert!(
        matches!(hangs, Err(AgentFailure::NoLine(CheckError::TimedOut { stage: Stage::Answer, .. }))),
        "{hangs:?}"
    );
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = ask(nobody).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("agent: cannot connect to {nobody}: Connection refused (os error 111)")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_sent_is_sent_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        let answer: &[u8] = if &heard == b"web1\n" { b"up\n" } else { b"down\n" };
        stream.write_all(answer).await.unwrap();
    });
    let report = Question { address, send: "web1\n".into() }.ask(SECOND).await.unwrap();
    assert_eq!(report.health, Some(Health::Up));
}

#[tokio::test]
async fn the_agent_says_the_first_line_of_its_file_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent-check");
    let (address, _agent) = agent(&file).await;
    assert_eq!(everything_from(address).await.unwrap(), "up\n", "no file, nothing to say");
    let long = "x".repeat(5000);
    for (text, line) in [
        ("UP\n", "UP\n"),
        ("drain", "drain\n"),
        ("down # disk\r\nsecond\n", "down # disk\n"),
        ("", "\n"),
        (long.as_str(), &format!("{}\n", &long[..512])),
    ] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(everything_from(address).await.unwrap(), line);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(everything_from(address).await.unwrap(), "up\n");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_no_answer_and_certainly_not_up() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _agent) = agent(dir.path()).await;
    assert_eq!(everything_from(address).await.unwrap(), "");
    assert!(AgentFile::new(dir.path()).report().await.is_err());
    // A pipe would block whoever opens it.
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(AgentFile::new(&pipe).line().await.is_err());
}

#[tokio::test]
async fn a_node_reads_its_own_file_as_others_would() {
    let dir = tempfile::tempdir().unwrap();
    let file = AgentFile::new(dir.path().join("agent-check"));
    assert_eq!(file.report().await.unwrap().health, Some(Health::Up));
    std::fs::write(file.path(), "down # by hand\n").unwrap();
    let report = file.report().await.unwrap();
    assert_eq!((report.health, report.reason.as_deref()), (Some(Health::Down), Some("by hand")));
    std::fs::write(file.path(), "dwon\n").unwrap();
    let error = file.report().await.unwrap_err();
    assert!(error.to_string().contains("dwon"), "{error}");
}

#[tokio::test]
async fn a_client_that_talks_gets_its_answer_before_the_connection_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _agent) = agent(&dir.path().join("none")).await;
    for _ in 0..50 {
        let question = Question { address, send: "some words that the agent does not care for\n".into() };
        assert_eq!(question.ask(SECOND * 10).await.unwrap().health, Some(Health::Up));
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_never_leave_are_bounded_in_number_and_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _agent) = agent(&dir.path().join("none")).await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        assert_eq!(everything_from(address).await.unwrap(), "up\n", "there is a seat left");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.read_exact(&mut [0; 3]).await.unwrap();
        idle.push(stream);
    }
    // Full: closed without an answer, at once. Whether by FIN or reset is the kernel's business.
    assert_eq!(everything_from(address).await.unwrap_or_default(), "");
    // Nobody leaves, and yet there are seats again: who stays is closed after a time.
    let mut said = String::new();
    for _ in 0..100 {
        if said.is_empty() {
            tokio::time::sleep(SECOND / 10).await;
            said = everything_from(address).await.unwrap_or_default();
        }
    }
    assert_eq!(said, "up\n");
    drop(idle);
}

#[tokio::test]
async fn dropping_the_agent_ends_it_and_its_connections() {
    let dir = tempfile::tempdir().unwrap();
    let (address, agent) = agent(&dir.path().join("none")).await;
    let mut open = TcpStream::connect(address).await.unwrap();
    open.read_exact(&mut [0; 3]).await.unwrap();
    agent.abort();
    assert!(agent.await.unwrap_err().is_cancelled());
    assert!(matches!(open.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err());
}
