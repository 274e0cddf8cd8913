//! Which processes listen at an address of this machine: from the kernel's table of sockets to the
//! processes that hold them open.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The state of a socket that listens, in the kernel's table.
const LISTENING: &str = "0A";

/// Inodes of the sockets in this table that listen at one of these ports.
fn inodes(table: &str, ports: &BTreeSet<u16>) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(&LISTENING), Some(inode)) =
            (fields.get(1), fields.get(3), fields.get(9))
        else {
            continue;
        };
        let port = local
            .rsplit_once(':')
            .and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        if let (Some(port), Ok(inode)) = (port, inode.parse())
            && ports.contains(&port)
        {
            found.insert(inode);
        }
    }
    found
}

/// The inode in what a descriptor of a socket points to: `socket:[123]`.
fn socket_inode(link: &str) -> Option<u64> {
    let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

fn holders(inodes: &BTreeSet<u64>) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return pids;
    };
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Processes of others can't be looked into: those are not counted.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut links = files
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.any(|link| {
            let inode = link.to_str().and_then(socket_inode);
            inode.is_some_and(|inode| inodes.contains(&inode))
        }) {
            pids.insert(pid);
        }
    }
    pids
}

/// The host and port in an address or URL: `amqp://user:word@host:5672/%2f`.
fn host_and_port(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.split('/').next().unwrap_or(address);
    address.rsplit_once('@').map_or(address, |(_, rest)| rest)
}

fn is_here(address: IpAddr) -> bool {
    // An address one can bind to is this machine's.
    address.is_loopback() || std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Processes of this machine that listen at these addresses.
pub(super) fn of(addresses: &[String]) -> BTreeSet<u32> {
    let ports: BTreeSet<u16> = addresses
        .iter()
        .filter_map(|address| host_and_port(address).to_socket_addrs().ok())
        .flatten()
        .filter(|address| is_here(address.ip()))
        .map(|address: SocketAddr| address.port())
        .collect();
    if ports.is_empty() {
        return BTreeSet::new();
    }
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        sockets.extend(inodes(&super::text(table), &ports));
    }
    holders(&sockets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::{host_and_port, of, socket_inode};

    #[test]
    fn finds_itself() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(of(std::slice::from_ref(&address)).contains(&std::process::id()));
        drop(listener);
        assert!(of(&[address]).is_empty());
    }

    #[test]
    fn reads_addresses_and_links() {
        assert_eq!(host_and_port("amqp://guest:a@b:5672/%2f"), "b:5672");
        assert_eq!(host_and_port("[::1]:9092"), "[::1]:9092");
        assert_eq!(socket_inode("socket:[77]"), Some(77));
        assert_eq!(socket_inode("pipe:[77]"), None);
    }
}
