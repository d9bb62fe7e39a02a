//! What is near this machine, and so is not asked by those who only may ask the internet.

use std::net::{IpAddr, SocketAddr};

use domain::untrusted::visible;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tracing::warn;

use super::address::{is_public, is_within, plain};

const NOT_PUBLIC: &str = "it is at an address that is not on the public internet, and such are not asked \
                          (CLARA_WEB_PRIVATE_HOSTS names exceptions)";

/// The networks that this machine is in, each as an address and the bits that its neighbours
/// share: what is there may have a public address, and is near all the same.
pub(super) fn near() -> std::io::Result<Vec<(IpAddr, u32)>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let network = |interface: if_addrs::Interface| match interface.addr {
        if_addrs::IfAddr::V4(own) => (IpAddr::V4(own.ip), u32::from(own.prefixlen)),
        if_addrs::IfAddr::V6(own) => (IpAddr::V6(own.ip), u32::from(own.prefixlen)),
    };
    Ok(interfaces.into_iter().map(network).collect())
}

/// Whether an address is on the internet, and in none of these networks.
pub(super) fn may_be_asked(address: IpAddr, near: &[(IpAddr, u32)]) -> bool {
    // Also where it is written as an address of IPv6.
    let leads_near =
        |(own, bits): &(IpAddr, u32)| is_within(address, *own, *bits) || is_within(plain(address), plain(*own), *bits);
    is_public(address) && !near.iter().any(leads_near)
}

/// Of the addresses of a host those that may be asked: whatever else a name leads to, now or
/// later, nobody connects there.
pub(super) fn public(
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
    near: &[(IpAddr, u32)],
) -> Result<Vec<SocketAddr>, String> {
    let public: Vec<SocketAddr> = found.filter(|found| may_be_asked(found.ip(), near)).collect();
    if public.is_empty() { Err(refused(host)) } else { Ok(public) }
}

/// What is told of a host that is not asked. Whoever looks after Clara finds it in the log: somebody
/// may be trying.
pub(super) fn refused(host: &str) -> String {
    warn!(host = visible(host), "refused to ask for what is not on the public internet");
    NOT_PUBLIC.to_owned()
}

/// Names by the system's resolver, without addresses that are not public.
pub(super) struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let near = near()?;
            let public = public(name.as_str(), found, &near)?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack S15: a name that is on the internet when it is looked at, and near when it is asked.
    #[test]
    fn a_name_that_changes_its_mind_leads_nowhere_near() {
        let near = [("192.0.2.7".parse().unwrap(), 24), ("8.8.4.7".parse().unwrap(), 24)];
        let leads = |found: &[&str]| {
            let found = found.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 80));
            public("rebinding.example", found, &near).map(|found| found.len())
        };
        // Each connection is made to what was looked at for it, and to nothing else.
        assert_eq!(leads(&["1.1.1.1"]), Ok(1));
        for later in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "::ffff:10.0.0.1",
            "::1",
            "192.0.2.9",
            "8.8.4.9",
            "::ffff:8.8.4.9",
            "64:ff9b::808:409",
        ] {
            assert!(leads(&[later]).unwrap_err().contains("not on the public internet"), "{later}");
            assert_eq!(leads(&["1.1.1.1", later]), Ok(1), "{later}");
        }
    }
}
