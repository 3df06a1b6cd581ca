//! Devices and addresses: what differs between what shall be and what is there, and in which order it is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::{Desired, PREFIX, SERVICE_DEVICE, ServiceAddress, Tunnel};

/// What is there of that which is Weir's: devices whose name begins with [`PREFIX`], and the addresses of [`SERVICE_DEVICE`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// By name.
    pub devices: BTreeMap<String, Device>,
    /// On [`SERVICE_DEVICE`], without those that the kernel itself puts there.
    pub addresses: BTreeSet<ServiceAddress>,
}

/// A device that is Weir's by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whether packets come out of it.
    pub up: bool,
    /// What it is.
    pub kind: DeviceKind,
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceKind {
    /// A dummy, as [`SERVICE_DEVICE`] is.
    Dummy,
    /// A tunnel; its name is the device's.
    Tunnel(Tunnel),
    /// Something else, by the kernel's word: somebody has taken a name that is Weir's.
    Other(String),
}

/// One step. Each prefix of a list of them leaves a network in which everything that worked works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add the dummy that carries the service addresses.
    AddServiceDevice,
    /// Add a tunnel.
    AddTunnel(Tunnel),
    /// Let packets through a device.
    Up(String),
    /// Make an address local.
    AddAddress(ServiceAddress),
    /// Make an address no longer local.
    RemoveAddress(ServiceAddress),
    /// Remove a device.
    RemoveDevice(String),
}

/// Steps by when they may be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Before services are made and announced: devices, then addresses.
    pub make: Vec<Change>,
    /// After announcements and services are withdrawn: addresses, then devices.
    pub remove: Vec<Change>,
}

impl Changes {
    /// Whether all is as it shall be.
    pub fn is_empty(&self) -> bool {
        self.make.is_empty() && self.remove.is_empty()
    }
}

/// What is to be done so that `there` becomes what `desired` says.
pub fn changes(desired: &Desired, there: &Network) -> Changes {
    let mut changes = Changes::default();
    for tunnel in &desired.tunnels {
        device(tunnel, there.devices.get(&tunnel.name), &mut changes.make);
    }
    if !desired.addresses.is_empty() {
        service_device(there.devices.get(SERVICE_DEVICE), &mut changes.make);
    }
    let addresses: BTreeSet<_> = desired.addresses.iter().copied().collect();
    // A device that has to be made anew takes its addresses with it.
    let carries = matches!(there.devices.get(SERVICE_DEVICE), Some(Device { kind: DeviceKind::Dummy, .. }));
    let local = |a: &ServiceAddress| carries && there.addresses.contains(a);
    changes.make.extend(addresses.iter().filter(|a| !local(a)).map(|a| Change::AddAddress(*a)));

    let gone = there.addresses.difference(&addresses);
    changes.remove.extend(gone.map(|a| Change::RemoveAddress(*a)));
    let wanted: BTreeSet<&str> = desired.tunnels.iter().map(|t| t.name.as_str()).collect();
    for name in there.devices.keys().filter(|name| name.starts_with(PREFIX)) {
        let stays = match name.as_str() {
            SERVICE_DEVICE => !addresses.is_empty(),
            name => wanted.contains(name),
        };
        if !stays {
            changes.remove.push(Change::RemoveDevice(name.clone()));
        }
    }
    changes
}

fn device(tunnel: &Tunnel, there: Option<&Device>, make: &mut Vec<Change>) {
    let name = || tunnel.name.clone();
    match there {
        Some(Device { up, kind: DeviceKind::Tunnel(same) }) if same == tunnel => {
            if !up {
                make.push(Change::Up(name()));
            }
            return;
        }
        // Its ends cannot be changed without a moment in which it has neither pair, so it is made anew.
        Some(_) => make.push(Change::RemoveDevice(name())),
        None => {}
    }
    make.push(Change::AddTunnel(tunnel.clone()));
    make.push(Change::Up(name()));
}

fn service_device(there: Option<&Device>, make: &mut Vec<Change>) {
    let name = || SERVICE_DEVICE.to_owned();
    match there {
        Some(Device { up: true, kind: DeviceKind::Dummy }) => return,
        Some(Device { up: false, kind: DeviceKind::Dummy }) => return make.push(Change::Up(name())),
        Some(_) => make.push(Change::RemoveDevice(name())),
        None => {}
    }
    make.push(Change::AddServiceDevice);
    make.push(Change::Up(name()));
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddServiceDevice => write!(f, "device {SERVICE_DEVICE} is missing"),
            Self::AddTunnel(Tunnel { name, kind, local, remote }) => {
                write!(f, "tunnel {name} ({}) from {remote} to {local} is missing", kind.as_str())
            }
            Self::Up(name) => write!(f, "device {name} is down"),
            Self::AddAddress(ServiceAddress(ip)) => write!(f, "address {ip} is not local"),
            Self::RemoveAddress(ServiceAddress(ip)) => write!(f, "address {ip} is local and should not be"),
            Self::RemoveDevice(name) => {
                write!(f, "device {name} is not as it should be, or should not be there")
            }
        }
    }
}

impl Change {
    /// Whether it is about an address, not about a device.
    pub const fn is_address(&self) -> bool {
        matches!(self, Self::AddServiceDevice | Self::AddAddress(_) | Self::RemoveAddress(_))
    }

    /// The address, where it is about one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::AddAddress(ServiceAddress(ip)) | Self::RemoveAddress(ServiceAddress(ip)) => Some(*ip),
            _ => None,
        }
    }
}
