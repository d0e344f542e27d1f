//! What is done, in the plugin's order.

use std::{error::Error, fs, net::IpAddr};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::{Batch, Socket};

/// `linux/rtnetlink.h`.
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const NEWNEIGH: u16 = 28;
const NEWRULE: u16 = 32;
const DELRULE: u16 = 33;
/// The group that tells of IPv6 routes, as a bit.
const V6_ROUTES: u32 = 1 << 10;

const V4: u8 = 2;
const V6: u8 = 10;
const MAIN: u32 = 254;
const MTU: u32 = 1500;
const POD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

type Done = Result<(), Box<dyn Error>>;

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn end(batch: &mut Batch, name: &str, mac: [u8; 6]) {
    batch.attribute(3, &text(name)).attribute(4, &MTU.to_ne_bytes()).attribute(1, &mac);
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { V4 } else { V6 }
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn gateway(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { [169, 254, 1, 1].into() } else { [0xfe80, 0, 0, 0, 0, 0, 0, 1].into() }
}

fn neighbour(batch: &mut Batch, index: u32, ip: IpAddr, mac: [u8; 6]) {
    // `struct ndmsg`, permanent.
    let mut header = [0; 12];
    header[0] = family(ip);
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8] = 0x80;
    batch.request(NEWNEIGH, true, &header).address(1, ip).attribute(2, &mac);
}

/// The route to one address on a link, or the default route over a gateway that is on it.
fn route(batch: &mut Batch, index: u32, to: Option<IpAddr>, via: Option<IpAddr>) {
    let ip = to.or(via).expect("either");
    // `struct rtmsg`: table main, protocol boot, scope link or universe, unicast; on the link if there is a gateway.
    let scope = if via.is_none() && ip.is_ipv4() { 253 } else { 0 };
    let flags: u32 = if via.is_some() { 4 } else { 0 };
    let mut header = [family(ip), to.map_or(0, bits), 0, 0, 254, 3, scope, 1, 0, 0, 0, 0];
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    batch.request(NEWROUTE, true, &header).attribute(15, &MAIN.to_ne_bytes());
    batch.attribute(4, &index.to_ne_bytes());
    if let Some(to) = to {
        batch.address(1, to);
    }
    if let Some(via) = via {
        batch.address(5, via);
    }
}

fn rules(batch: &mut Batch, kind: u16, ip: IpAddr, table: u32) {
    for (priority, table, to) in [(512u32, MAIN, true), (2048, table, false)] {
        let (dst, src) = if to { (bits(ip), 0) } else { (0, bits(ip)) };
        // `struct fib_rule_hdr` with the action "to table".
        let header = [family(ip), dst, src, 0, u8::try_from(table).unwrap_or(0), 0, 0, 1, 0, 0, 0, 0];
        batch.request(kind, kind == NEWRULE, &header).attribute(6, &priority.to_ne_bytes());
        batch.attribute(15, &table.to_ne_bytes()).address(if to { 1 } else { 2 }, ip);
    }
}

/// Writes settings that do not hold the value yet.
fn settings(settings: &[(String, &str)]) -> std::io::Result<()> {
    for (key, value) in settings {
        let path = format!("/proc/sys/net/{key}");
        if fs::read_to_string(&path)?.trim() != *value {
            fs::write(&path, value)?;
        }
    }
    Ok(())
}

fn host_settings(links: &[&str], v6: bool) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for scope in ["all", "default"].iter().chain(links) {
        all.push((format!("ipv4/conf/{scope}/forwarding"), "1"));
        all.push((format!("ipv4/conf/{scope}/rp_filter"), "0"));
    }
    if v6 {
        all.push(("ipv6/conf/all/forwarding".into(), "1"));
        for link in links {
            all.push((format!("ipv6/conf/{link}/forwarding"), "1"));
            all.push((format!("ipv6/conf/{link}/disable_ipv6"), "0"));
        }
    }
    all
}

fn addresses(words: &[&str]) -> Result<Vec<IpAddr>, Box<dyn Error>> {
    Ok(words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?)
}

pub(crate) fn add(netns: &str, name: &str, eni: &str, table: &str, words: &[&str]) -> Done {
    let (ips, table) = (addresses(words)?, table.parse()?);
    let v6 = ips.iter().any(IpAddr::is_ipv6);
    let (host_netns, pod_netns) = (fs::File::open("/proc/self/ns/net")?, fs::File::open(netns)?);
    let host = Socket::open(0)?;
    let mut birth = Batch::default();
    birth.request(NEWLINK, true, &link(0, 0));
    end(&mut birth, name, HOST_MAC);
    birth.nest(18, |info| {
        info.attribute(1, b"veth").nest(2, |data| {
            data.nest(1, |peer| {
                peer.raw(&link(0, 0));
                end(peer, "eth0", POD_MAC);
                let fd = std::os::fd::AsRawFd::as_raw_fd(&pod_netns);
                peer.attribute(28, &fd.to_ne_bytes());
            });
        });
    });
    host.run(&birth)?;
    // A process that does nothing else may enter by itself.
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&pod_netns), Some(LinkNameSpaceType::Network))?;
    let pod = Socket::open(0)?;
    let arrivals = v6.then(|| Socket::open(V6_ROUTES)).transpose()?;
    if v6 {
        let off = ["lo", "all", "default", "eth0"].map(|it| (format!("ipv6/conf/{it}/disable_ipv6"), "0"));
        settings(&off)?;
        settings(&[("ipv6/conf/eth0/accept_ra".into(), "0")])?;
    }
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&host_netns), Some(LinkNameSpaceType::Network))?;
    inside(&pod, &ips)?;
    outside(&host, name, eni, table, &ips)?;
    // The other end's queue, as above.
    index(&pod, "eth0")?;
    if let Some(arrivals) = arrivals {
        arrive(&arrivals, &ips)?;
    }
    Ok(())
}

fn index(socket: &Socket, name: &str) -> Result<u32, Box<dyn Error>> {
    let mut batch = Batch::default();
    batch.question(GETLINK, &link(0, 0)).attribute(3, &text(name));
    Ok(*socket.run(&batch)?.first().ok_or("no index")?)
}

fn inside(pod: &Socket, ips: &[IpAddr]) -> Done {
    let index = index(pod, "eth0")?;
    let mut batch = Batch::default();
    for ip in ips {
        // `struct ifaddrmsg`, for IPv6 without duplicate detection.
        let mut header = [family(*ip), bits(*ip), if ip.is_ipv6() { 2 } else { 0 }, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&index.to_ne_bytes());
        batch.request(NEWADDR, true, &header).address(2, *ip).address(1, *ip);
    }
    batch.request(SETLINK, false, &link(index, 1));
    for ip in ips {
        neighbour(&mut batch, index, gateway(*ip), HOST_MAC);
        route(&mut batch, index, None, Some(gateway(*ip)));
    }
    pod.run(&batch)?;
    Ok(())
}

fn outside(host: &Socket, name: &str, eni: &str, table: u32, ips: &[IpAddr]) -> Done {
    let index = index(host, name)?;
    let mut batch = Batch::default();
    let alias = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/eth0";
    batch.request(SETLINK, false, &link(index, 0)).attribute(20, alias);
    host.run(&batch)?;
    settings(&host_settings(&[name, eni], ips.iter().any(IpAddr::is_ipv6)))?;
    let mut batch = Batch::default();
    batch.request(SETLINK, false, &link(index, 1));
    for ip in ips {
        neighbour(&mut batch, index, *ip, POD_MAC);
        route(&mut batch, index, Some(*ip), None);
        rules(&mut batch, NEWRULE, *ip, table);
    }
    // The link is asked for once more: its queue carries packets when the answer is there.
    batch.question(GETLINK, &link(index, 0));
    host.run(&batch)?;
    Ok(())
}

/// Waits until the IPv6 addresses receive: the kernel announces their local route.
fn arrive(arrivals: &Socket, ips: &[IpAddr]) -> Done {
    let mut open: Vec<[u8; 16]> = ips
        .iter()
        .filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(ip.octets()),
            IpAddr::V4(_) => None,
        })
        .collect();
    while !open.is_empty() {
        arrivals.hear(|kind, body| {
            // Of `struct rtmsg`: a full prefix of the kind "local"; the address is somewhere behind.
            if kind == NEWROUTE && body.get(1) == Some(&128) && body.get(7) == Some(&2) {
                open.retain(|ip| !body.windows(16).any(|window| window == ip));
            }
            Ok(())
        })?;
    }
    Ok(())
}

pub(crate) fn del(name: &str, table: &str, words: &[&str]) -> Done {
    let table = table.parse()?;
    let mut batch = Batch::default();
    for ip in addresses(words)? {
        rules(&mut batch, DELRULE, ip, table);
    }
    batch.request(DELLINK, false, &link(0, 0)).attribute(3, &text(name));
    Socket::open(0)?.run(&batch)?;
    Ok(())
}
