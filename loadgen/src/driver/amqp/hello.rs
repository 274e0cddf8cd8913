//! What a node says of itself before anybody logs in. The client library keeps that to itself, and asking here
//! tells apart who doesn't answer and who speaks something else.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::super::DriverError;
use super::super::rabbitmq::Access;

const PROTOCOL: &str = "AMQP 0-9-1";
const HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than this isn't a greeting.
const MOST: usize = 1 << 20;

/// The node's properties, those that are text.
pub(super) fn ask(access: &Access) -> Result<BTreeMap<String, String>, DriverError> {
    let address = access.address(0);
    let unreachable = |reason: String| DriverError::Unreachable {
        address: address.clone(),
        reason,
    };
    let wrong = |reason: String| DriverError::WrongProtocol {
        address: address.clone(),
        protocol: PROTOCOL,
        reason,
    };
    let mut stream = connect(access).map_err(|error| unreachable(error.to_string()))?;
    stream
        .set_read_timeout(Some(ANSWER_WITHIN))
        .and_then(|()| stream.write_all(&HEADER))
        .map_err(|error| unreachable(error.to_string()))?;
    let mut frame = [0; 7];
    stream
        .read_exact(&mut frame)
        .map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => unreachable(format!(
                "it takes connections, and doesn't answer within {} s",
                ANSWER_WITHIN.as_secs()
            )),
            ErrorKind::UnexpectedEof => wrong("it closed the connection when greeted".to_owned()),
            _ => wrong(format!("no answer to a greeting ({error})")),
        })?;
    let length = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
    if frame[..3] != [1, 0, 0] || length > MOST {
        return Err(wrong(format!(
            "it answered {:?}",
            String::from_utf8_lossy(&frame)
        )));
    }
    let mut body = vec![0; length];
    stream
        .read_exact(&mut body)
        .map_err(|error| wrong(format!("its greeting broke off ({error})")))?;
    properties(&body).ok_or_else(|| wrong("its greeting cannot be read".to_owned()))
}

fn connect(access: &Access) -> std::io::Result<TcpStream> {
    let (host, port) = access.nodes.first().map_or(("", 0), |(h, p)| (h, *p));
    let mut last = std::io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The text properties in connection.start: class 10, method 10, version, then a table of properties.
fn properties(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let body = body.strip_prefix(&[0, 10, 0, 10])?;
    let (mut table, _) = long(body.get(2..)?)?;
    let mut found = BTreeMap::new();
    while !table.is_empty() {
        let (name, rest) = short(table)?;
        let (kind, rest) = rest.split_first()?;
        let (value, rest) = match kind {
            b'S' | b'F' | b'A' | b'x' => long(rest)?,
            b't' | b'b' | b'B' => rest.split_at_checked(1)?,
            b's' | b'u' => rest.split_at_checked(2)?,
            b'I' | b'i' | b'f' => rest.split_at_checked(4)?,
            b'l' | b'L' | b'd' | b'T' => rest.split_at_checked(8)?,
            b'D' => rest.split_at_checked(5)?,
            b'V' => rest.split_at_checked(0)?,
            _ => return None,
        };
        if *kind == b'S' {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            found.insert(text(name), text(value));
        }
        table = rest;
    }
    Some(found)
}

fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn start(table: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 10, 0, 10, 0, 9];
        body.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
        body.extend(table);
        body.extend(b"\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US");
        body
    }

    #[test]
    fn text_properties_are_found_among_others() {
        let table = b"\x0ccapabilitiesF\x00\x00\x00\x04\x01at\x01\x07productS\x00\x00\x00\x08RabbitMQ\x01nl\x00\x00\x00\x00\x00\x00\x00\x01\x07versionS\x00\x00\x00\x063.10.8";
        let found = properties(&start(table)).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found["product"], "RabbitMQ");
        assert_eq!(found["version"], "3.10.8");
    }

    #[test]
    fn a_greeting_cut_off_anywhere_is_no_greeting() {
        let whole = start(b"\x07productS\x00\x00\x00\x08RabbitMQ");
        let needed = 6 + 4 + 8 + 1 + 4 + 8;
        for length in 0..needed {
            assert!(properties(&whole[..length]).is_none(), "{length}");
        }
        assert!(properties(&whole[..needed]).is_some());
    }

    fn access_to(port: u16) -> Access {
        Access {
            nodes: vec![("127.0.0.1".to_owned(), port)],
            user: String::new(),
            password: String::new(),
            vhost: String::new(),
        }
    }

    #[test]
    fn nobody_there_and_somebody_else_there_are_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        });
        let said = ask(&access_to(port)).unwrap_err();
        assert!(matches!(&said, DriverError::WrongProtocol { .. }), "{said}");
        other.join().unwrap();
        let said = ask(&access_to(port)).unwrap_err();
        assert!(matches!(&said, DriverError::Unreachable { .. }), "{said}");
    }
}
