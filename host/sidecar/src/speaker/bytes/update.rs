//! `UPDATE`: routes that come and go.
//!
//! Nothing that is read here is believed or kept, only counted. Still it is read with care: a neighbor's `UPDATE` must not end a
//! session that could go on (RFC 7606), and one that should end it must.

use std::net::IpAddr;

use bgpkit_parser::error::EncodingError;
use bgpkit_parser::models::{
    Afi, AsPath, AsPathSegment, AsnLength, AttrFlags, Attribute, AttributeValue,
    Attributes as WireAttributes, BgpUpdateMessage, Community as WireCommunity, ExtendedCommunity,
    LargeCommunity as WireLargeCommunity, NetworkPrefix, NextHopAddress, Nlri, Origin as WireOrigin, Safi,
};
use bgpkit_parser::parser::bgp::messages::parse_bgp_update_message;
use bytes::Bytes;
use ipnet::IpNet;
use weir_core::bgp::{
    AS_TRANS, Attributes, Community, Family, LargeCommunity, NextHop, Notification, Origin, Prefix, Update,
};

use super::Fault;

/// The attributes that are read: origin, paths, next hop, metrics, communities, and what has prefixes in it. All others are
/// left out before the library sees them.
const READ: [u8; 11] = [1, 2, 3, 4, 5, 8, REACH, UNREACH, 16, 17, 32];
const REACH: u8 = 14;
const UNREACH: u8 = 15;
/// The bit that says that an attribute's length has two bytes.
const EXTENDED: u8 = 0x10;

/// In the place of a list of prefixes, for the library to find something that it need not understand: it takes a list in which a default
/// route stands for one with path identifiers (RFC 7911), and reads other prefixes than are there. Ours are read here.
const STAND_IN: [u8; 2] = [8, 10];

/// The session ends: nobody can tell which routes were meant.
const MALFORMED_LIST: Fault = Fault::Answer(Notification::new(3, 1));

const fn width(wide: bool) -> AsnLength {
    if wide { AsnLength::Bits32 } else { AsnLength::Bits16 }
}

pub(super) fn decode(body: &[u8], wide: bool) -> Result<Vec<Update>, Fault> {
    let sieved = sieve(body)?;
    let message = parse_bgp_update_message(Bytes::from(sieved.bytes), false, &width(wide))
        .map_err(|_| Fault::Unread)?;
    if sieved.odd || message.attributes.has_validation_warnings() {
        return Err(Fault::Unread);
    }
    read(&message, sieved.lists).ok_or(Fault::Unread)
}

/// Prefixes of an `UPDATE`, by where they stand.
#[derive(Default)]
struct Lists {
    withdrawn: Vec<Prefix>,
    announced: Vec<Prefix>,
    /// Of the families that their attributes name.
    reach: Vec<Prefix>,
    unreach: Vec<Prefix>,
}

/// What is left of an `UPDATE` for the library.
struct Sieved {
    bytes: Vec<u8>,
    lists: Lists,
    /// Something is wrong that breaks nothing.
    odd: bool,
}

/// Checks the frame, reads the prefixes, and leaves out attributes that are not read.
fn sieve(body: &[u8]) -> Result<Sieved, Fault> {
    let (withdrawn, rest) = counted(body).ok_or(MALFORMED_LIST)?;
    let (mut attributes, announced) = counted(rest).ok_or(MALFORMED_LIST)?;
    let mut lists = Lists::default();
    let mut kept = Vec::with_capacity(attributes.len());
    let mut seen = [false; 256];
    let mut odd = false;
    while !attributes.is_empty() {
        let Some((code, whole, value, rest)) = attribute(attributes) else {
            // Its length is not to be believed, what follows it is not to be found (RFC 7606 §4).
            odd = true;
            break;
        };
        attributes = rest;
        let twice = seen.get_mut(usize::from(code)).is_some_and(|seen| std::mem::replace(seen, true));
        if twice && matches!(code, REACH | UNREACH) {
            return Err(MALFORMED_LIST);
        }
        // A family that is not spoken here; of all others, the first one counts (RFC 7606 §3 g).
        let foreign = matches!(code, REACH | UNREACH) && !matches!(value, [0, 1 | 2, 1, ..]);
        if !READ.contains(&code) || twice || foreign {
            continue;
        }
        let list = match code {
            REACH => &mut lists.reach,
            UNREACH => &mut lists.unreach,
            _ => {
                kept.extend_from_slice(whole);
                continue;
            }
        };
        let family = if matches!(value, [0, 2, ..]) { Family::Ipv6 } else { Family::Ipv4 };
        let split = list_of(code, value).and_then(|(head, rest)| Some((head, rest, prefixes(rest, family)?)));
        let Some((head, rest, read)) = split else {
            odd = true;
            continue;
        };
        *list = read;
        let flags = whole.first().copied().unwrap_or_default() | EXTENDED;
        let stand_in = stand_in(rest);
        let length = u16::try_from(head.len() + stand_in.len()).unwrap_or_default();
        kept.extend([flags, code]);
        kept.extend(length.to_be_bytes());
        kept.extend_from_slice(head);
        kept.extend_from_slice(stand_in);
    }
    let mut read = |bytes| {
        let all = prefixes(bytes, Family::Ipv4);
        odd |= all.is_none();
        all.unwrap_or_default()
    };
    (lists.withdrawn, lists.announced) = (read(withdrawn), read(announced));
    let mut bytes = Vec::with_capacity(body.len());
    for part in [stand_in(withdrawn), &kept] {
        // Hardly longer than the body was, and a message is far shorter than two bytes can say.
        bytes.extend(u16::try_from(part.len()).unwrap_or_default().to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(stand_in(announced));
    Ok(Sieved { bytes, lists, odd })
}

/// What the library is given for a list.
const fn stand_in(list: &[u8]) -> &[u8] {
    if list.is_empty() { &[] } else { &STAND_IN }
}

/// What comes before the prefixes in `MP_REACH_NLRI` or `MP_UNREACH_NLRI`, and they themselves.
fn list_of(code: u8, value: &[u8]) -> Option<(&[u8], &[u8])> {
    // Family; and a next hop behind its length, and a byte that means nothing.
    let head = if code == REACH { 5 + usize::from(*value.get(3)?) } else { 3 };
    value.split_at_checked(head)
}

/// Prefixes one after the other; `None` where one is longer than its family allows, or ends behind the end.
fn prefixes(mut bytes: &[u8], family: Family) -> Option<Vec<Prefix>> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (some, rest) = rest.split_at_checked(usize::from(length.div_ceil(8)))?;
        let mut octets = [0; 16];
        octets.get_mut(..some.len())?.copy_from_slice(some);
        let address = match family {
            Family::Ipv4 => IpAddr::from(*octets.first_chunk::<4>()?),
            Family::Ipv6 => IpAddr::from(octets),
        };
        // Bits behind a prefix do not count (RFC 4271 §4.3).
        let net = IpNet::new(address, *length).ok()?.trunc();
        all.push(Prefix::new(net.addr(), *length).ok()?);
        bytes = rest;
    }
    Some(all)
}

/// What the first two bytes count, and what comes after it.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [high, low, rest @ ..] = bytes else { return None };
    rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
}

/// An attribute's code, all of its bytes, its value; and what comes after it.
type Piece<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

/// The first attribute.
fn attribute(bytes: &[u8]) -> Option<Piece<'_>> {
    let (code, header, length) = match *bytes {
        [flags, code, high, low, ..] if flags & EXTENDED != 0 => {
            (code, 4, usize::from(u16::from_be_bytes([high, low])))
        }
        [flags, code, length, ..] if flags & EXTENDED == 0 => (code, 3, usize::from(length)),
        _ => return None,
    };
    let (whole, rest) = bytes.split_at_checked(header + length)?;
    Some((code, whole, whole.get(header..)?, rest))
}

/// Both families, each as an update of its own. `None` where an announcement lacks what it has to have.
fn read(message: &BgpUpdateMessage, lists: Lists) -> Option<Vec<Update>> {
    let attributes = &message.attributes;
    let reach = attributes.get_reachable_nlri();
    let unreach = attributes.get_unreachable_nlri();
    let mut updates = Vec::new();
    let mut push = |family, withdrawn, announced: Vec<Prefix>, next_hop: Option<NextHop>| {
        let announced = match (announced.is_empty(), next_hop) {
            (true, _) => None,
            (false, Some(next_hop)) => Some((shared(attributes, next_hop), announced)),
            (false, None) => return None,
        };
        updates.push(Update { family, withdrawn, announced });
        Some(())
    };
    if let Some(nlri) = reach {
        push(family(nlri.afi), Vec::new(), lists.reach, nlri.next_hop.and_then(read_next_hop))?;
    }
    if let Some(nlri) = unreach {
        push(family(nlri.afi), lists.unreach, Vec::new(), None)?;
    }
    let plain = !lists.withdrawn.is_empty() || !lists.announced.is_empty();
    // Without anything it is End-of-RIB of the family that BGP began with.
    if plain || reach.is_none() && unreach.is_none() {
        let next_hop = attributes.next_hop().map(|address| NextHop { address, link_local: None });
        push(Family::Ipv4, lists.withdrawn, lists.announced, next_hop)?;
    }
    Some(updates)
}

const fn family(afi: Afi) -> Family {
    // The sieve leaves these two.
    if matches!(afi, Afi::Ipv6) { Family::Ipv6 } else { Family::Ipv4 }
}

const fn read_next_hop(hop: NextHopAddress) -> Option<NextHop> {
    match hop {
        NextHopAddress::Ipv4(one) => Some(NextHop { address: IpAddr::V4(one), link_local: None }),
        NextHopAddress::Ipv6(one) => Some(NextHop { address: IpAddr::V6(one), link_local: None }),
        NextHopAddress::Ipv6LinkLocal(one, link) => {
            Some(NextHop { address: IpAddr::V6(one), link_local: Some(link) })
        }
        NextHopAddress::VpnIpv6(..) | NextHopAddress::VpnIpv6LinkLocal(..) => None,
    }
}

fn shared(attributes: &WireAttributes, next_hop: NextHop) -> Attributes {
    let mut communities = Vec::new();
    let mut large_communities = Vec::new();
    let mut extended_communities = Vec::new();
    for value in attributes {
        match value {
            AttributeValue::Communities(all) => communities.extend(all.iter().map(read_community)),
            AttributeValue::LargeCommunities(all) => large_communities.extend(
                all.iter().map(|one| LargeCommunity(one.global_admin, one.local_data[0], one.local_data[1])),
            ),
            AttributeValue::ExtendedCommunities(all) => {
                extended_communities.extend(all.iter().filter_map(raw));
            }
            _ => {}
        }
    }
    communities.sort_unstable();
    large_communities.sort_unstable();
    Attributes {
        origin: match attributes.origin() {
            WireOrigin::IGP => Origin::Igp,
            WireOrigin::EGP => Origin::Egp,
            WireOrigin::INCOMPLETE => Origin::Incomplete,
        },
        as_path: attributes.effective_as_path().map(|path| flat(&path)).unwrap_or_default(),
        next_hop,
        med: attributes.multi_exit_discriminator(),
        local_preference: attributes.local_preference(),
        communities,
        large_communities,
        extended_communities,
    }
}

/// The numbers of a path in their order, those of sets among them.
fn flat(path: &AsPath) -> Vec<u32> {
    path.iter_segments().flat_map(|segment| segment.iter().map(|number| number.to_u32())).collect()
}

/// The one kind that this speaker sends, as its bytes.
fn raw(community: &ExtendedCommunity) -> Option<[u8; 8]> {
    match community {
        ExtendedCommunity::LinkBandwidth(link) => {
            let [high, low] = link.global_admin.to_be_bytes();
            let [a, b, c, d] = link.bandwidth.to_be_bytes();
            Some([if link.transitive { 0x00 } else { 0x40 }, 0x04, high, low, a, b, c, d])
        }
        ExtendedCommunity::Raw(bytes) => Some(*bytes),
        _ => None,
    }
}

fn read_community(community: &WireCommunity) -> Community {
    match community {
        WireCommunity::NoExport => Community(0xffff, 0xff01),
        WireCommunity::NoAdvertise => Community(0xffff, 0xff02),
        WireCommunity::NoExportSubConfed => Community(0xffff, 0xff03),
        // Two bytes were read.
        WireCommunity::Custom(high, low) => Community(u16::try_from(high.to_u32()).unwrap_or_default(), *low),
    }
}

pub(super) fn encode(update: &Update, wide: bool) -> Result<Vec<u8>, EncodingError> {
    let width = width(wide);
    let mut message = BgpUpdateMessage::default();
    let mut values = Vec::new();
    let withdrawn = nets(&update.withdrawn);
    match update.family {
        Family::Ipv4 => message.withdrawn_prefixes = withdrawn,
        Family::Ipv6 if update.announced.is_none() || !withdrawn.is_empty() => {
            values.push(AttributeValue::MpUnreachNlri(nlri(withdrawn, None)));
        }
        Family::Ipv6 => {}
    }
    if let Some((attributes, prefixes)) = &update.announced {
        let announced = nets(prefixes);
        match attributes.next_hop.address {
            IpAddr::V4(_) => message.announced_prefixes = announced,
            IpAddr::V6(address) => {
                let hop = match attributes.next_hop.link_local {
                    Some(link) => NextHopAddress::Ipv6LinkLocal(address, link),
                    None => NextHopAddress::Ipv6(address),
                };
                values.push(AttributeValue::MpReachNlri(nlri(announced, Some(hop))));
            }
        }
        describe(attributes, wide, &mut values);
    }
    let attributes = values.into_iter().map(|value| sized(value, width));
    message.attributes = attributes.collect::<Vec<_>>().into();
    Ok(message.encode(width)?.to_vec())
}

/// The attributes but for prefixes, in the order of their numbers.
fn describe(attributes: &Attributes, wide: bool, values: &mut Vec<AttributeValue>) {
    values.push(AttributeValue::Origin(match attributes.origin {
        Origin::Igp => WireOrigin::IGP,
        Origin::Egp => WireOrigin::EGP,
        Origin::Incomplete => WireOrigin::INCOMPLETE,
    }));
    let narrow = |number: &u32| u32::from(u16::try_from(*number).unwrap_or(AS_TRANS));
    let shown: Vec<u32> =
        if wide { attributes.as_path.clone() } else { attributes.as_path.iter().map(narrow).collect() };
    values.push(AttributeValue::AsPath(path(&shown)));
    if attributes.next_hop.address.is_ipv4() {
        values.push(AttributeValue::NextHop(attributes.next_hop.address));
    }
    values.extend(attributes.med.map(AttributeValue::MultiExitDiscriminator));
    values.extend(attributes.local_preference.map(AttributeValue::LocalPreference));
    if !attributes.communities.is_empty() {
        let all = attributes.communities.iter().map(|one| write_community(*one)).collect();
        values.push(AttributeValue::Communities(all));
    }
    if !attributes.extended_communities.is_empty() {
        let all = attributes.extended_communities.iter().map(|one| ExtendedCommunity::Raw(*one)).collect();
        values.push(AttributeValue::ExtendedCommunities(all));
    }
    if shown != attributes.as_path {
        values.push(AttributeValue::As4Path(path(&attributes.as_path)));
    }
    if !attributes.large_communities.is_empty() {
        let large = |one: &LargeCommunity| WireLargeCommunity::new(one.0, [one.1, one.2]);
        values
            .push(AttributeValue::LargeCommunities(attributes.large_communities.iter().map(large).collect()));
    }
}

fn path(numbers: &[u32]) -> AsPath {
    // Within an AS the path has no segment at all, not one without numbers.
    if numbers.is_empty() {
        AsPath::new()
    } else {
        AsPath::from_segments(vec![AsPathSegment::sequence(numbers)])
    }
}

fn write_community(community: Community) -> WireCommunity {
    match community {
        Community(0xffff, 0xff01) => WireCommunity::NoExport,
        Community(0xffff, 0xff02) => WireCommunity::NoAdvertise,
        Community(0xffff, 0xff03) => WireCommunity::NoExportSubConfed,
        Community(high, low) => WireCommunity::Custom(high.into(), low),
    }
}

fn nets(prefixes: &[Prefix]) -> Vec<NetworkPrefix> {
    let net = |one: &Prefix| IpNet::new(one.address(), one.length()).ok();
    prefixes.iter().filter_map(net).map(|net| NetworkPrefix::new(net, None)).collect()
}

const fn nlri(prefixes: Vec<NetworkPrefix>, next_hop: Option<NextHopAddress>) -> Nlri {
    Nlri {
        afi: Afi::Ipv6,
        safi: Safi::Unicast,
        next_hop,
        prefixes,
        labeled_prefixes: None,
        link_state_nlris: None,
        flowspec_nlris: None,
    }
}

/// With the bit that says that the length has two bytes, where it needs them: the library leaves that to us.
fn sized(value: AttributeValue, width: AsnLength) -> Attribute {
    let mut attribute = Attribute::from(value);
    if attribute.encode(width).is_err() {
        attribute.flag |= AttrFlags::EXTENDED;
    }
    attribute
}
