//! TCP as a stream of messages (RFC 7766): many in a segment, one in many, and connections that nobody needs.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::dns::exchange::{PATIENCE, connect, framed, read_message};
use crate::dns::query::{Query, ask, kind};

/// Connections that say nothing while another one asks.
const IDLE: usize = 200;

/// Tries all of it. Returns how many questions were asked.
pub(super) fn run(server: SocketAddr) -> Result<usize> {
    pipelined(server)?;
    byte_by_byte(server)?;
    nothing_is_no_message(server)?;
    idle_connections_keep_nobody_out(server)?;
    Ok(8)
}

fn numbered(number: u16) -> Query {
    ask("ns1.example.org", kind::A).numbered(number)
}

/// Five queries in one segment have five answers, in their order.
fn pipelined(server: SocketAddr) -> Result<()> {
    let mut stream = connect(server, PATIENCE)?;
    let all = (1..=5).map(|number| framed(&numbered(number).bytes)).collect::<Result<Vec<_>>>()?;
    stream.write_all(&all.concat())?;
    for number in 1..=5 {
        let answer =
            read_message(&mut stream)?.with_context(|| format!("answer {number} of 5 is missing"))?;
        numbered(number).is_repeated_in(&answer)?;
    }
    Ok(())
}

fn byte_by_byte(server: SocketAddr) -> Result<()> {
    let mut stream = connect(server, PATIENCE)?;
    for byte in framed(&numbered(9).bytes)? {
        stream.write_all(&[byte])?;
    }
    let answer = read_message(&mut stream)?.context("a query in many segments has no answer")?;
    numbered(9).is_repeated_in(&answer)
}

/// A message of no bytes ends the connection; it neither is answered nor waits.
fn nothing_is_no_message(server: SocketAddr) -> Result<()> {
    let mut stream = connect(server, PATIENCE)?;
    stream.write_all(&[0, 0])?;
    ensure!(read_message(&mut stream)?.is_none(), "a message of no bytes is answered");
    Ok(())
}

fn idle_connections_keep_nobody_out(server: SocketAddr) -> Result<()> {
    let idle = (0..IDLE).map(|_| connect(server, PATIENCE)).collect::<Result<Vec<_>>>()?;
    byte_by_byte(server).with_context(|| format!("while {} connections are idle", idle.len()))
}
