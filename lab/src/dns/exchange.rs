//! Sends queries and takes answers, over UDP and TCP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::query::Query;

/// How long an answer may take on a machine that does other things as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The largest message.
const LARGEST: usize = 65535;

/// A UDP socket that hears one server only.
#[derive(Debug)]
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    buffer: Vec<u8>,
}

impl Client {
    /// Asks this server.
    pub(crate) fn of(server: SocketAddr) -> Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).context("cannot open a UDP socket")?;
        socket.connect(server).with_context(|| format!("cannot ask {server}"))?;
        Ok(Self { socket, server, buffer: vec![0; LARGEST] })
    }

    /// The answer to a query, by UDP or TCP as it says; `None` where there is none within that time.
    pub(crate) fn exchange(&mut self, query: &Query, within: Duration) -> Result<Option<Vec<u8>>> {
        if query.tcp {
            return over_tcp(self.server, &query.bytes, within);
        }
        self.send(query)?;
        self.receive(&[query], within)
    }

    /// The answer to a query over UDP; `None` where the answer to a second one, sent behind it, comes first.
    pub(crate) fn exchange_before(
        &mut self,
        query: &Query,
        second: &Query,
        within: Duration,
    ) -> Result<Option<Vec<u8>>> {
        self.send(query)?;
        self.send(second)?;
        let first = self.receive(&[query, second], within)?.context("no query is answered")?;
        if !is_number_of(&first, query) {
            return Ok(None);
        }
        // Not to be taken for the answer to what is asked next.
        self.receive(&[second], within)?.context("the second query is not answered")?;
        Ok(Some(first))
    }

    /// The answers to many queries with different numbers, sent at once; over TCP on one connection. `last` is asked behind those over
    /// UDP, and answered behind them: with its answer, none to a query that `may_lack` one will come.
    pub(crate) fn exchange_all(
        &mut self,
        queries: &[&Query],
        last: &Query,
        may_lack: impl Fn(usize) -> bool,
        within: Duration,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let mut answers = vec![None; queries.len()];
        let over = |tcp: bool| queries.iter().enumerate().filter(move |(_, query)| query.tcp == tcp);
        let mut waiting = Vec::new();
        for (number, query) in over(false) {
            self.send(query)?;
            waiting.push(number);
        }
        let mut is_last_due = !waiting.is_empty();
        if is_last_due {
            self.send(last)?;
        }
        while is_last_due || !waiting.iter().all(|number| may_lack(*number)) {
            let mut wanted: Vec<&Query> =
                waiting.iter().filter_map(|number| queries.get(*number).copied()).collect();
            wanted.push(last);
            let Some(answer) = self.receive(&wanted, within)? else { break };
            is_last_due &= !is_number_of(&answer, last);
            let whose = waiting
                .iter()
                .position(|number| queries.get(*number).is_some_and(|query| is_number_of(&answer, query)));
            if let Some(number) = whose.map(|at| waiting.swap_remove(at))
                && let Some(place) = answers.get_mut(number)
            {
                *place = Some(answer);
            }
        }
        let streamed: Vec<(usize, &&Query)> = over(true).collect();
        if streamed.is_empty() {
            return Ok(answers);
        }
        let mut stream = connect(self.server, within)?;
        for (_, query) in &streamed {
            stream.write_all(&framed(&query.bytes)?)?;
        }
        for _ in &streamed {
            let Some(answer) = read_message(&mut stream)? else { break };
            let whose = streamed.iter().find(|(_, query)| is_number_of(&answer, query));
            if let Some(place) = whose.and_then(|(number, _)| answers.get_mut(*number)) {
                *place = Some(answer);
            }
        }
        Ok(answers)
    }

    fn send(&self, query: &Query) -> Result<()> {
        self.socket.send(&query.bytes).with_context(|| format!("cannot ask {}", self.server))?;
        Ok(())
    }

    /// The next answer to one of these.
    fn receive(&mut self, queries: &[&Query], within: Duration) -> Result<Option<Vec<u8>>> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let length = match self.socket.recv(&mut self.buffer) {
                Ok(length) => length,
                Err(error) if is_late(&error) => return Ok(None),
                Err(error) => return Err(error).with_context(|| format!("{} is asked", self.server)),
            };
            let answer = self.buffer.get(..length).unwrap_or_default();
            // Others are late answers to earlier queries.
            if queries.iter().any(|query| is_number_of(answer, query)) {
                return Ok(Some(answer.to_vec()));
            }
        }
    }
}

fn is_number_of(answer: &[u8], query: &Query) -> bool {
    answer.first_chunk::<2>().is_some_and(|id| query.bytes.starts_with(id))
}

/// The answer to a message on a connection of its own; `None` where the server closes it or says nothing.
pub(crate) fn over_tcp(server: SocketAddr, message: &[u8], within: Duration) -> Result<Option<Vec<u8>>> {
    let mut stream = connect(server, within)?;
    stream.write_all(&framed(message)?)?;
    read_message(&mut stream)
}

/// A message as TCP has it, with its length before it.
pub(crate) fn framed(message: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(message.len()).context("a message is longer than TCP takes")?;
    Ok([&length.to_be_bytes()[..], message].concat())
}

/// A connection that waits so long.
pub(crate) fn connect(server: SocketAddr, within: Duration) -> Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&server, within).with_context(|| format!("cannot connect to {server}"))?;
    stream.set_read_timeout(Some(within))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The next message of a connection; `None` at its end, or where nothing comes in time.
pub(crate) fn read_message(stream: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if is_end(&error) || is_late(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    match stream.read_exact(&mut message) {
        Ok(()) => Ok(Some(message)),
        Err(error) => bail!("an answer over TCP ends early: {error}"),
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::query::{ask, kind};

    #[test]
    fn a_late_answer_to_another_query_is_not_taken_for_this_one() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = Client::of(server.local_addr().unwrap()).unwrap();
        let from = client.socket.local_addr().unwrap();
        server.send_to(&[0, 1, 7], ("127.0.0.1", from.port())).unwrap();
        server.send_to(&[0, 2, 8], ("127.0.0.1", from.port())).unwrap();
        let answer = client.exchange(&ask(".", kind::NS).numbered(2), PATIENCE).unwrap();
        assert_eq!(answer, Some(vec![0, 2, 8]));
    }
}
