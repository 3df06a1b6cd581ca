//! Orders to a crowd that runs: a queue, and a socket that wakes its poller.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Result;

use super::line::Order;

/// The crowd's end.
#[derive(Debug)]
pub(super) struct Orders {
    /// Readable when an order is in the queue.
    pub(super) woken: UnixStream,
    queue: Receiver<Order>,
}

/// The end of who gives orders.
#[derive(Debug)]
pub(super) struct Giver {
    queue: Sender<Order>,
    wake: UnixStream,
}

/// Both ends.
pub(super) fn channel_of_orders() -> Result<(Giver, Orders)> {
    let (wake, woken) = UnixStream::pair()?;
    woken.set_nonblocking(true)?;
    let (giving, queue) = channel();
    Ok((Giver { queue: giving, wake }, Orders { woken, queue }))
}

impl Giver {
    /// Gives an order. A crowd that has ended takes none.
    pub(super) fn give(&mut self, order: Order) {
        if self.queue.send(order).is_ok() {
            drop(self.wake.write(&[1]));
        }
    }

    /// SIGINT, SIGTERM and SIGHUP are orders to stop from now on.
    pub(super) fn listen_to_signals(mut self) -> Result<()> {
        let (mut told, telling) = UnixStream::pair()?;
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::low_level::pipe::register(signal, telling.try_clone()?)?;
        }
        std::thread::spawn(move || {
            let mut byte = [0];
            while told.read_exact(&mut byte).is_ok() {
                self.give(Order::Stop);
            }
        });
        Ok(())
    }

    /// The same for another thread.
    pub(super) fn another(&self) -> Result<Self> {
        Ok(Self { queue: self.queue.clone(), wake: self.wake.try_clone()? })
    }
}

impl Orders {
    /// All that were given since the last time.
    pub(super) fn taken(&mut self) -> Vec<Order> {
        let mut bytes = [0; 64];
        while matches!(self.woken.read(&mut bytes), Ok(length) if length > 0) {}
        self.queue.try_iter().collect()
    }
}
