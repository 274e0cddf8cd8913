//! A connection to a node, and what comes over it.

use rabbitmq_stream_protocol::{Response, ResponseCode, ResponseKind};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;

use super::super::DriverError;
use super::super::rabbitmq::{ANSWER_WITHIN, Access};
use super::client::{Broken, Client, Sink};
use crate::measure::recorder::now_ns;

const PROTOCOL: &str = "RabbitMQ's stream protocol";

/// What came over a link, and when.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) link: usize,
    pub(super) at_ns: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Records of a publisher are stored.
    Confirmed(u8, Vec<u64>),
    /// Records of a publisher aren't, and why.
    Refused(u8, Vec<(u64, ResponseCode)>),
    /// A chunk of records for a subscription.
    Chunk(u8, Response),
    /// A stream moved or is gone.
    Moved,
    /// Nothing more will come.
    Broken(String),
}

fn what(item: Result<Response, Broken>) -> Option<What> {
    let response = match item {
        Err(broken) => return Some(What::Broken(broken.to_string())),
        Ok(response) => response,
    };
    if let ResponseKind::Deliver(chunk) = response.kind_ref() {
        return Some(What::Chunk(chunk.subscription_id, response));
    }
    match response.kind() {
        ResponseKind::PublishConfirm(confirm) => Some(What::Confirmed(
            confirm.publisher_id,
            confirm.publishing_ids,
        )),
        ResponseKind::PublishError(refused) => {
            let each = refused.publishing_errors.into_iter();
            let each = each.map(|error| (error.publishing_id, error.error_code));
            Some(What::Refused(refused.publisher_id, each.collect()))
        }
        ResponseKind::MetadataUpdate(_) => Some(What::Moved),
        _ => None,
    }
}

/// Sends what comes over a link to `to`. Nobody listens any more once the worker ends.
pub(super) fn sink(link: usize, to: UnboundedSender<Event>) -> Sink {
    Box::new(move |item| {
        let at_ns = now_ns();
        if let Some(what) = what(item) {
            let _ = to.send(Event { link, at_ns, what });
        }
    })
}

/// A connection to a node.
pub(super) async fn connect(
    access: &Access,
    host: &str,
    port: u16,
    sink: Sink,
) -> Result<Client, DriverError> {
    let address = format!("{host}:{port}");
    let unreachable = |reason: String| DriverError::Unreachable {
        address: address.clone(),
        reason,
    };
    let wrong = |reason: String| DriverError::WrongProtocol {
        address: address.clone(),
        protocol: PROTOCOL,
        reason,
    };
    let late = || format!("no answer within {} s", ANSWER_WITHIN.as_secs());
    let stream = tokio::time::timeout(ANSWER_WITHIN, TcpStream::connect((host, port)))
        .await
        .map_err(|_| unreachable(late()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let opening = Client::over(stream, &access.user, &access.password, &access.vhost, sink);
    match tokio::time::timeout(ANSWER_WITHIN, opening).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(Broken::Refused(code))) => Err(DriverError::Failed(format!(
            "{address} refused {} on vhost {}: {code:?}",
            access.user, access.vhost
        ))),
        Ok(Err(broken)) => Err(wrong(broken.to_string())),
        Err(_) => Err(unreachable(format!("it takes connections: {}", late()))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn connect_to(port: u16) -> DriverError {
        let access = Access {
            nodes: vec![("127.0.0.1".to_owned(), port)],
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
        };
        let found = super::super::runtime::run(None, async {
            let sink: Sink = Box::new(|_| ());
            connect(&access, "127.0.0.1", port, sink).await.map(|_| ())
        });
        found.unwrap_err()
    }

    #[test]
    fn nobody_there_and_somebody_else_there_are_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let said = connect_to(port);
        assert!(matches!(&said, DriverError::WrongProtocol { .. }), "{said}");
        other.join().unwrap();
        let said = connect_to(port);
        assert!(matches!(&said, DriverError::Unreachable { .. }), "{said}");
    }
}
