//! `OPEN`: what a speaker can do.

use std::net::Ipv4Addr;

use bgpkit_parser::error::EncodingError;
use bgpkit_parser::models::capabilities::{
    BgpCapabilityType, FourOctetAsCapability, MultiprotocolExtensionsCapability,
};
use bgpkit_parser::models::{
    Afi, Asn, BgpOpenMessage, Capability as WireCapability, CapabilityValue, OptParam, ParamValue, Safi,
};
use bgpkit_parser::parser::bgp::messages::parse_bgp_open_message;
use bytes::Bytes;
use weir_core::bgp::{Capability, Family, Notification, Open};

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;

/// Version to length of the optional parameters.
const FIXED: usize = 10;
/// The optional parameter that holds capabilities.
const CAPABILITIES: u8 = 2;
/// In the place of a length and of a type: longer ones follow (RFC 9072).
const EXTENDED: u8 = 255;
/// Which optional parameter it is, is not said.
const UNSUPPORTED_PARAMETER: Notification = Notification::new(2, 4);
const UNSPECIFIC: Notification = Notification::new(2, 0);

pub(super) fn decode(body: &[u8]) -> Result<Open, Notification> {
    // Another version may have another layout.
    if let Some(version) = body.first().copied().filter(|version| *version != 4) {
        return Ok(Open {
            version,
            as_field: 0,
            hold_seconds: 0,
            id: Ipv4Addr::UNSPECIFIED,
            capabilities: Vec::new(),
        });
    }
    check_lengths(body).ok_or(UNSPECIFIC)?;
    let open = parse_bgp_open_message(&mut Bytes::copy_from_slice(body)).map_err(|_| UNSPECIFIC)?;
    let mut capabilities = Vec::new();
    for parameter in open.opt_params {
        match parameter.param_value {
            ParamValue::Capacities(all) => capabilities.extend(all.into_iter().map(read)),
            ParamValue::Raw(_) => return Err(UNSUPPORTED_PARAMETER),
        }
    }
    Ok(Open {
        version: open.version,
        // Two bytes were read.
        as_field: u16::try_from(open.asn.to_u32()).unwrap_or_default(),
        hold_seconds: open.hold_time,
        id: open.bgp_identifier,
        capabilities,
    })
}

/// Whether the lengths of the optional parameters come out even: the library reads to the end of its bytes, whatever they say.
fn check_lengths(body: &[u8]) -> Option<()> {
    let length = *body.get(FIXED - 1)?;
    let rest = body.get(FIXED..)?;
    let (mut rest, wide) = match *rest {
        [EXTENDED, high, low, ref rest @ ..] if length != 0 => {
            (rest.len() == usize::from(u16::from_be_bytes([high, low]))).then_some((rest, true))?
        }
        _ => (rest.len() == usize::from(length)).then_some((rest, false))?,
    };
    while !rest.is_empty() {
        let (length, after) = match (wide, rest) {
            (false, [_, length, after @ ..]) => (usize::from(*length), after),
            (true, [_, high, low, after @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), after),
            _ => return None,
        };
        rest = after.get(length..)?;
    }
    Some(())
}

fn read(capability: WireCapability) -> Capability {
    let code = u8::from(capability.ty);
    match capability.value {
        CapabilityValue::MultiprotocolExtensions(one) => match family(one.afi, one.safi) {
            Some(family) => Capability::Multiprotocol(family),
            None => Capability::Other { code, value: one.encode().to_vec() },
        },
        CapabilityValue::RouteRefresh(_) => Capability::RouteRefresh,
        CapabilityValue::FourOctetAs(one) => Capability::FourOctetAs(one.asn),
        CapabilityValue::GracefulRestart(one) => Capability::GracefulRestart {
            restarted: one.restart_state,
            // The library drops the bit, and nothing here depends on the neighbor's.
            notification: false,
            seconds: one.restart_time,
            families: one
                .address_families
                .iter()
                .filter_map(|one| Some((family(one.afi, one.safi)?, one.forwarding_state)))
                .collect(),
        },
        CapabilityValue::Raw(value) => Capability::Other { code, value },
        // Known to the library, and nothing to us.
        _ => Capability::Other { code, value: Vec::new() },
    }
}

fn family(afi: Afi, safi: Safi) -> Option<Family> {
    match (afi, safi) {
        (Afi::Ipv4, Safi::Unicast) => Some(Family::Ipv4),
        (Afi::Ipv6, Safi::Unicast) => Some(Family::Ipv6),
        _ => None,
    }
}

pub(super) fn encode(open: &Open) -> Result<Vec<u8>, EncodingError> {
    let capabilities: Vec<WireCapability> = open.capabilities.iter().map(write).collect();
    let parameter = OptParam { param_type: CAPABILITIES, param_value: ParamValue::Capacities(capabilities) };
    // An old speaker chokes on a parameter, even on an empty one.
    let opt_params = if open.capabilities.is_empty() { Vec::new() } else { vec![parameter] };
    let message = BgpOpenMessage {
        version: open.version,
        asn: Asn::new_16bit(open.as_field),
        hold_time: open.hold_seconds,
        bgp_identifier: open.id,
        extended_length: false,
        opt_params,
    };
    Ok(message.encode()?.to_vec())
}

fn write(capability: &Capability) -> WireCapability {
    let (code, value) = match capability {
        Capability::Multiprotocol(family) => {
            let afi = if *family == Family::Ipv4 { Afi::Ipv4 } else { Afi::Ipv6 };
            let one = MultiprotocolExtensionsCapability::new(afi, Safi::Unicast);
            (MULTIPROTOCOL, CapabilityValue::MultiprotocolExtensions(one))
        }
        Capability::RouteRefresh => (ROUTE_REFRESH, CapabilityValue::Raw(Vec::new())),
        Capability::FourOctetAs(number) => {
            (FOUR_OCTET_AS, CapabilityValue::FourOctetAs(FourOctetAsCapability::new(*number)))
        }
        // By hand: the library has no N bit.
        Capability::GracefulRestart { restarted, notification, seconds, families } => {
            let flags = u16::from(*restarted) << 15 | u16::from(*notification) << 14;
            let mut value = (flags | seconds & 0x0fff).to_be_bytes().to_vec();
            for (family, forwarded) in families {
                value.extend([0, if *family == Family::Ipv4 { 1 } else { 2 }, 1, u8::from(*forwarded) << 7]);
            }
            (GRACEFUL_RESTART, CapabilityValue::Raw(value))
        }
        Capability::Other { code, value } => (*code, CapabilityValue::Raw(value.clone())),
    };
    WireCapability { ty: BgpCapabilityType::from(code), value }
}
