//! Names and hardware addresses that follow from a pod and its sandbox alone.
//!
//! Nothing here is drawn at random: whoever knows the pod can say what its link is called and which MAC each
//! end has, so neighbours are written in the same batch as the link, and a link whose MAC follows from its own
//! alias is provably one of ours.

use sha1::{Digest, Sha1};
use terway_core::id::{ContainerId, Mac, PodKey};

/// What names of host ends begin with. Calico's choice, kept by the original: network policy engines match it.
pub const HOST_PREFIX: &str = "cali";

/// Hexadecimal digits after [`HOST_PREFIX`]: the kernel's 15 characters are used up.
const DIGITS: usize = 11;

/// The interface whose name does not take part in the host end's name.
const DEFAULT_IFNAME: &str = "eth0";

/// Name of the host end of a pod's veth pair: `cali` and the first eleven digits of
/// SHA-1(`namespace.name` and, unless it is `eth0`, the interface's name). Wire-compatible with the original.
pub fn host_veth_name(pod: &PodKey, ifname: &str) -> String {
    let suffix = if ifname == DEFAULT_IFNAME { "" } else { ifname };
    let digest = Sha1::digest(format!("{}.{}{suffix}", pod.namespace, pod.name));
    let mut name = String::from(HOST_PREFIX);
    name.extend(digest.iter().flat_map(|octet| [octet >> 4, octet & 15]).take(DIGITS).map(hex));
    name
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).expect("four bits are a hexadecimal digit")
}

/// Hardware address of the pod's end.
pub fn pod_mac(container: &ContainerId, ifname: &str) -> Mac {
    derived("pod", container, ifname)
}

/// Hardware address of the host's end: what the pod's gateway resolves to.
pub fn host_mac(container: &ContainerId, ifname: &str) -> Mac {
    derived("host", container, ifname)
}

/// Locally administered and unicast (second bit of the first octet set, lowest one clear), so that it can never
/// be that of an ENI.
fn derived(end: &str, container: &ContainerId, ifname: &str) -> Mac {
    let digest = Sha1::digest(format!("terway/{end}/{container}/{ifname}"));
    let mut octets = [0; 6];
    octets.copy_from_slice(&digest[..6]);
    octets[0] = (octets[0] & 0xfc) | 0x02;
    Mac(octets)
}

/// Alias of the host end: the sandbox and the interface it was made for.
pub fn alias(container: &ContainerId, ifname: &str) -> String {
    format!("{container}/{ifname}")
}

/// The sandbox and interface that a host end was made for, if it is provably ours: its name has our form and
/// its MAC is the one that follows from its alias.
pub fn owner(link: &str, link_alias: Option<&str>, mac: Mac) -> Option<(ContainerId, String)> {
    let digits = link.strip_prefix(HOST_PREFIX)?;
    if digits.len() != DIGITS || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let (container, ifname) = link_alias?.rsplit_once('/')?;
    let container = ContainerId::from(container);
    (host_mac(&container, ifname) == mac).then(|| (container, ifname.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_those_of_the_original() {
        // sha1sum of `default.nginx`, `kube-system.coredns-7d`, `default.nginxeth1`.
        for (pod, ifname, name) in [
            (PodKey::new("default", "nginx"), "eth0", "calic440f455693"),
            (PodKey::new("kube-system", "coredns-7d"), "eth0", "califa0cd6a0c57"),
            (PodKey::new("default", "nginx"), "eth1", "calib2fabf209b3"),
        ] {
            assert_eq!(host_veth_name(&pod, ifname), name);
            assert_eq!(name.len(), 15);
        }
    }

    #[test]
    fn macs_are_local_unicast_and_differ_by_end_sandbox_and_interface() {
        let (one, two) = (ContainerId::from("one"), ContainerId::from("two"));
        let macs =
            [pod_mac(&one, "eth0"), host_mac(&one, "eth0"), pod_mac(&two, "eth0"), pod_mac(&one, "eth1")];
        for (index, mac) in macs.iter().enumerate() {
            assert_eq!(mac.0[0] & 3, 2, "{mac}");
            assert!(!macs[..index].contains(mac), "{mac} twice");
        }
        assert_eq!(pod_mac(&one, "eth0"), pod_mac(&ContainerId::from("one"), "eth0"), "stable");
    }

    #[test]
    fn only_a_link_whose_mac_follows_from_its_alias_is_ours() {
        let container = ContainerId::from("0123abcd");
        let name = host_veth_name(&PodKey::new("default", "nginx"), "eth0");
        let ours = alias(&container, "eth0");
        let mac = host_mac(&container, "eth0");
        assert_eq!(owner(&name, Some(&ours), mac), Some((container, "eth0".into())));
        assert_eq!(owner(&name, Some(&ours), Mac([2, 0, 0, 0, 0, 1])), None, "calico's own");
        assert_eq!(owner(&name, None, mac), None, "no alias");
        assert_eq!(owner("cali-mine", Some(&ours), mac), None, "another form of name");
        assert_eq!(owner("veth0123456789a", Some(&ours), mac), None, "another prefix");
    }
}
