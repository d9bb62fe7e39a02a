//! Which addresses are public. Pure.
//!
//! After the registries of special-purpose addresses of IANA (RFC 6890 and those that
//! renew it): what is not globally reachable there is somebody's own network, the machine
//! itself, or the metadata of its host. Addresses of IPv6 that carry one of IPv4 inside
//! are judged by that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the internet, for anybody to ask.
pub(super) fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether what goes to an address of a page is read by nobody on the way: over TLS, or to this
/// machine (as <https://www.w3.org/TR/secure-contexts/#is-origin-trustworthy> has it).
pub(crate) fn is_trustworthy(address: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(address) else { return false };
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

/// The address that is connected to: an address of IPv6 that carries one of IPv4 leads there.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(carrier) => carried(carrier).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Whether an address shares the first bits of another one.
pub(super) fn is_within(address: IpAddr, of: IpAddr, bits: u32) -> bool {
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((one, width), (other, same)) = (wide(address), wide(of));
    let bits = bits.min(width);
    width == same && (bits == 0 || (one ^ other) >> (128 - bits) == 0)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // Shared by a provider's customers (RFC 6598).
        || (a == 100 && b & 0b1100_0000 == 64)
        // For protocols, and the relays of 6to4.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        // For measuring devices (RFC 2544).
        || (a == 198 && b & 0b1111_1110 == 18)
        // Reserved, with the broadcast at its end.
        || a >= 240;
    !is_special
}

/// Global unicast is 2000::/3; what is special within it is left out.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    let is_for_protocols = a == 0x2001 && b < 0x0200;
    a & 0xe000 == 0x2000 && !is_documentation && !is_for_protocols
}

/// The address of IPv4 that one of IPv6 stands for: mapped, compatible, translated
/// (RFC 6052), or by 6to4.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_nobody_elses_is_not_public() {
        for address in [
            "127.0.0.1",
            "127.255.0.3",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn neighbours_share_the_first_bits() {
        let is_near = |one: &str, other: &str, bits| is_within(one.parse().unwrap(), other.parse().unwrap(), bits);
        assert!(is_near("93.184.216.7", "93.184.216.34", 24) && !is_near("93.184.217.7", "93.184.216.34", 24));
        assert!(is_near("2606:4700::1", "2606:4700::2", 64) && !is_near("2606:4700:1::1", "2606:4700::2", 48));
        assert!(is_near("1.2.3.4", "1.2.3.4", 32) && !is_near("1.2.3.5", "1.2.3.4", 32));
        assert!(!is_near("::1", "1.2.3.4", 0));
    }

    proptest! {
        /// However one of IPv4 is dressed up, it is judged alike.
        #[test]
        fn dress_makes_no_difference(bits: u32) {
            let plain = Ipv4Addr::from(bits);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            for dressed in [
                plain.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(is_public(IpAddr::V6(dressed)), is_public(IpAddr::V4(plain)));
            }
        }
    }
}
