//! What two `OPEN`s come to, and which of two connections stays.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::Settings;
use super::message::{Capability, Family, Open};
use super::notification::Notification;
use super::session::Side;

/// What both ends can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The other end's BGP identifier.
    pub peer_id: Ipv4Addr,
    /// Without a sign of life for so long, the session is over; `None`: never.
    pub hold: Option<Duration>,
    /// A sign of life is sent so often.
    pub keepalive: Option<Duration>,
    /// Families that both want.
    pub families: Vec<Family>,
    /// Families that we want and the other end does not.
    pub lacking: Vec<Family>,
    /// AS numbers in paths have four bytes.
    pub four_octet_as: bool,
    /// The other end answers `ROUTE-REFRESH`; we always do.
    pub route_refresh: bool,
}

impl Open {
    /// What we say. `plain`: without capabilities, to an old speaker that chokes on them.
    pub fn ours(settings: &Settings, plain: bool) -> Self {
        let mut capabilities = Vec::new();
        if !plain {
            capabilities.extend(settings.families.iter().copied().map(Capability::Multiprotocol));
            capabilities.extend([Capability::RouteRefresh, Capability::FourOctetAs(settings.local_as)]);
            if let Some(seconds) = settings.graceful_restart {
                // The kernel forwards on while the speaker restarts, hence the F bit. No N bit: what ends with a NOTIFICATION of
                // ours ends on purpose, and routes kept after it would lead nowhere.
                let families = settings.families.iter().map(|family| (*family, true)).collect();
                let seconds = seconds.min(4095);
                capabilities.push(Capability::GracefulRestart {
                    restarted: false,
                    notification: false,
                    seconds,
                    families,
                });
            }
        }
        Self {
            version: 4,
            as_field: Self::as_field_of(settings.local_as),
            hold_seconds: u16::try_from(settings.hold.as_secs()).unwrap_or(u16::MAX),
            id: settings.local_id,
            capabilities,
        }
    }
}

/// What their `OPEN` and ours come to, or what to tell them (RFC 4271 §6.2), and in which words to tell whoever runs this end.
pub(super) fn negotiate(
    open: &Open,
    settings: &Settings,
    plain: bool,
) -> Result<Negotiated, (Notification, String)> {
    if open.version != 4 {
        let answer = Notification { data: vec![0, 4], ..Notification::new(2, 1) };
        return Err((answer, format!("the neighbor says version {}, expected 4", open.version)));
    }
    let (said, expected) = (open.as_number(), settings.peer_as);
    if said != expected {
        return Err((Notification::new(2, 2), format!("the neighbor says AS {said}, expected {expected}")));
    }
    let own = settings.is_internal() && open.id == settings.local_id;
    if open.id.is_unspecified() || own {
        let ours = if own { ", which is ours" } else { "" };
        return Err((Notification::new(2, 3), format!("the neighbor says identifier {}{ours}", open.id)));
    }
    if matches!(open.hold_seconds, 1 | 2) {
        let said = format!("the neighbor says {} s, expected 0 or at least 3", open.hold_seconds);
        return Err((Notification::new(2, 6), said));
    }
    let mut theirs: Vec<Family> = Vec::new();
    let (mut multiprotocol, mut four_octet_as, mut route_refresh) = (false, false, false);
    for capability in &open.capabilities {
        match capability {
            Capability::Multiprotocol(family) => {
                multiprotocol = true;
                theirs.push(*family);
            }
            // A family that is not known here counts as well: who names any does not mean IPv4 by itself.
            Capability::Other { code: 1, .. } => multiprotocol = true,
            Capability::FourOctetAs(_) => four_octet_as = true,
            Capability::RouteRefresh => route_refresh = true,
            Capability::GracefulRestart { .. } | Capability::Other { .. } => {}
        }
    }
    if !multiprotocol || plain {
        // RFC 4760: who names no family speaks the one that BGP began with.
        theirs = vec![Family::Ipv4];
    }
    let (families, lacking): (Vec<Family>, Vec<Family>) =
        settings.families.iter().copied().partition(|one| theirs.contains(one));
    if families.is_empty() {
        let answer = Notification { data: missing(&settings.families), ..Notification::new(2, 7) };
        return Err((answer, "the neighbor speaks none of the families that are configured".to_owned()));
    }
    let hold = Duration::from_secs(settings.hold.as_secs().min(u64::from(open.hold_seconds)));
    let hold = (!hold.is_zero()).then_some(hold);
    Ok(Negotiated {
        peer_id: open.id,
        hold,
        keepalive: hold.map(|hold| hold / 3),
        families,
        lacking,
        four_octet_as: four_octet_as && !plain,
        route_refresh,
    })
}

/// The capabilities that the other end would have to have, as RFC 5492 wants them: in bytes.
fn missing(families: &[Family]) -> Vec<u8> {
    families.iter().flat_map(|family| [1, 4, 0, if *family == Family::Ipv4 { 1 } else { 2 }, 0, 1]).collect()
}

/// Which connection stays, where both ends opened one at the same time: that of the higher identifier (RFC 4271 §6.8), or of
/// the higher AS number where those are equal (RFC 6286). Both ends come to the same.
pub fn survivor(settings: &Settings, peer_id: Ipv4Addr) -> Side {
    let ours = (settings.local_id.to_bits(), settings.local_as);
    if ours < (peer_id.to_bits(), settings.peer_as) { Side::Incoming } else { Side::Outgoing }
}
